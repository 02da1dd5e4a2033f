"""A trained network as a function of re-paired samples: each modality from another sample, everything computed once.

Encoders run once per sample. So do fusion nodes that read one modality only, and wide paths. What is left is evaluated
per pairing, on pooled vectors wherever no operator reads tokens: pooling before or after re-pairing is the same.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusionnas.architecture import NodeRef, Source
from fusionnas.feature import Feature, pool
from fusionnas.network import FusionHead, FusionNetwork
from fusionnas.operators.base import FusionOperator

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace


class Pairings:
    """Logits of a network for any re-pairing of N samples, in float64 from the features upwards.

    Args:
        space: says which modalities are views of one source; they move together.
        network: trained.
        inputs: the samples, per modality.

    Attributes:
        sources: what can be re-paired: the modalities that the network reads.
        size: number of samples N.
    """

    @torch.no_grad()
    def __init__(self, space: SearchSpace, network: FusionNetwork, inputs: Mapping[str, Feature]) -> None:
        network = network.eval()
        self._source = {name: space.source_of(name) for name in network.architecture.modalities}
        self.sources = tuple(dict.fromkeys(self._source.values()))
        self.size = len(next(iter(inputs.values())).present)
        self._head: FusionHead = copy.deepcopy(network.head).double()
        self._known: dict[Source, Feature] = {}
        for point in network.architecture.points():
            encoder, given = network.encoders[point.modality], inputs[point.modality]
            parts = [encoder(given.rows(rows))[point.level] for rows in self._chunks()]
            feature = _joined(parts)
            self._known[point] = feature._replace(values=feature.values.double())
        self._owner: dict[Source, str | None] = {
            point: self._source[point.modality] for point in network.architecture.points()
        }
        self._wide = {
            name: torch.cat([path(inputs[name].rows(rows)) for rows in self._chunks()]).double()
            for name, path in network.wide.items()
        }
        self._compute_once()
        self._pool()

    @torch.no_grad()
    def __call__(self, index: Mapping[str, Tensor]) -> Tensor:
        """Per source, which sample it comes from (B,) -> logits (B, C)."""
        known = {source: f.rows(index[self._owner[source] or ""]) for source, f in self._known.items()}
        for place in range(len(self._head.plan)):
            if NodeRef(place) not in known:
                known[NodeRef(place)] = self._head.node(place, known)
        logits = self._head.read(known[self._head.output])
        for name, part in self._wide.items():
            logits = logits + part[index[self._source[name]]]
        return logits

    def own(self) -> Tensor:
        """Logits (N, C) of the samples as they are."""
        return torch.cat([self(dict.fromkeys(self.sources, rows)) for rows in self._chunks()])

    def _operator(self, place: int) -> FusionOperator:
        operator = self._head.nodes[place]
        assert isinstance(operator, FusionOperator)
        return operator

    def _chunks(self) -> list[Tensor]:
        return [*torch.arange(self.size).split(512)]

    def _compute_once(self) -> None:
        """Nodes that read one source only; afterwards only what others still need is kept."""
        for place, inputs in enumerate(self._head.plan):
            owners = {self._owner.get(source) for source in inputs}
            owner = owners.pop() if len(owners) == 1 else None
            self._owner[NodeRef(place)] = owner
            if owner is not None:
                read = {source: self._known[source] for source in inputs}
                parts = [
                    self._head.node(place, {source: feature.rows(rows) for source, feature in read.items()})
                    for rows in self._chunks()
                ]
                self._known[NodeRef(place)] = _joined(parts)
        needed = {s for i, inputs in enumerate(self._head.plan) if self._owner[NodeRef(i)] is None for s in inputs}
        needed.add(self._head.output)
        self._known = {source: feature for source, feature in self._known.items() if source in needed}

    def _pool(self) -> None:
        """To one token what no operator reads as a sequence."""
        left = [i for i, _ in enumerate(self._head.plan) if NodeRef(i) not in self._known]
        for source, feature in self._known.items():
            as_tokens = any(source in self._head.plan[i] and self._operator(i).sequence for i in left)
            if feature.values.shape[1] > 1 and not as_tokens:
                self._known[source] = Feature.vector(pool(feature), feature.present)


def _joined(parts: list[Feature]) -> Feature:
    return Feature(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
