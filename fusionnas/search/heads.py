"""Discrete fusion heads trained alone, hundreds at once.

Heads with the same operators in the same order are stacked: one set of (G, ...) parameters, one pass for all.
This is stand-alone training (no weights are shared between members), so it has no ranking gap of a supernet.
A head with fewer inputs than its group's widest is embedded as the leading block, its further inputs absent:
same function, same gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.architecture import Architecture, NodeRef, Point, Source
from fusionnas.feature import Feature, pool
from fusionnas.layers import Dropout, leading_block, stack_modules
from fusionnas.network import FusionHead, run_operator
from fusionnas.operators import operators
from fusionnas.operators.base import FusionOperator
from fusionnas.search.cache import Cache
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.scoring import nll


@dataclass(frozen=True)
class Candidate:
    """A head to train: an architecture and the seed of its initial weights."""

    architecture: Architecture
    seed: int

    @property
    def operators(self) -> tuple[str, ...]:
        """Operator names, node by node: candidates that agree here can be stacked."""
        return tuple(node.operator for node in self.architecture.nodes)


@dataclass(frozen=True)
class HeadSettings:
    """Sizes and rates of head training; Adam (Kingma & Ba, 2015, arXiv:1412.6980)."""

    width: int
    outputs: int
    batch_size: int = 128
    learning_rate: float = 5e-3
    weight_decay: float = 1e-4
    dropout: float = 0.0


def stackable(candidate: Candidate) -> bool:
    """Whether every operator of the candidate runs stacked."""
    return all(operators[name].stackable for name in candidate.operators)


class HeadStack(nn.Module):
    """Heads of one operator sequence, trained side by side.

    Args:
        candidates: members; all with the same ``operators``.
        settings: sizes and rates.
        points: fusion points in the order of the caches' rows.
    """

    def __init__(self, candidates: Sequence[Candidate], settings: HeadSettings, points: Sequence[Point]) -> None:
        super().__init__()
        self.candidates, self.settings = list(candidates), settings
        self._place: dict[Source, int] = {point: index for index, point in enumerate(points)}
        heads = [initial_head(candidate, settings) for candidate in candidates]
        nodes = candidates[0].architecture.nodes
        self.arity = [max(len(c.architecture.nodes[i].inputs) for c in candidates) for i in range(len(nodes))]
        self.nodes = nn.ModuleList(
            stack_modules([_widen(head.nodes[i], self.arity[i]) for head in heads])
            for i in range(len(nodes))
        )
        self.readout = stack_modules([head.readout for head in heads])
        self.decides = heads[0].decides
        self.dropout = Dropout(settings.dropout)
        self._route()
        self.optimizer = torch.optim.Adam(
            self.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )

    def _route(self) -> None:
        """Where every member's slots read: a cache row (the last is nothing), or an earlier node."""
        nothing = len(self._place)
        self.rows: list[Tensor] = []
        self.refs: list[Tensor] = []
        for index, arity in enumerate(self.arity):
            rows = torch.full((arity, len(self.candidates)), nothing)
            refs = torch.full((arity, len(self.candidates)), -1)
            for member, candidate in enumerate(self.candidates):
                for slot, source in enumerate(candidate.architecture.nodes[index].inputs):
                    if isinstance(source, NodeRef):
                        refs[slot, member] = source.node
                    else:
                        rows[slot, member] = self._place[source]
            self.rows.append(rows)
            self.refs.append(refs)
        ends = [self._place.get(c.architecture.output, nothing) for c in self.candidates]
        self.ends = torch.tensor(ends)

    def forward(self, cache: Cache) -> Tensor:
        """Cached features of B samples -> logits (G, B, C)."""
        outputs: list[Feature] = []
        for operator, rows, refs in zip(self.nodes, self.rows, self.refs, strict=True):
            assert isinstance(operator, FusionOperator)
            inputs = [
                self._input(cache, rows[s], refs[s], outputs, sequence=operator.sequence) for s in range(len(rows))
            ]
            outputs.append(run_operator(operator, inputs))
        fused = pool(outputs[-1]) if outputs else cache.vectors[self.ends]
        if not self.decides:
            fused = self.dropout(fused.unsqueeze(-2)).squeeze(-2)
        logits: Tensor = self.readout(fused)
        return logits

    def _input(self, cache: Cache, rows: Tensor, refs: Tensor, outputs: list[Feature], *, sequence: bool) -> Feature:
        feature = cache.gather(rows, sequence=sequence)
        feature = feature._replace(values=self.dropout(feature.values))
        for node, output in enumerate(outputs):
            here = refs == node
            if bool(here.any()):
                feature = _where(here, _fitted(output, feature), feature)
        return feature

    def fit(self, cache: Cache, epochs: Sequence[float], *, seed: int, start: int = 0) -> None:
        """Train all members; ``epochs`` holds each epoch's factor on the learning rate.

        Batches are a function of (seed, epoch) alone: the same for every group and every member.
        """
        self.train()
        for offset, factor in enumerate(epochs):
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * factor
            with seeded(derive(seed, "dropout", self.candidates[0].operators, start + offset)):
                for batch in _batches(cache, self.settings.batch_size, derive(seed, "heads", start + offset)):
                    loss = nll(self(batch), batch.target).mean(-1).sum()
                    self.optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    self.optimizer.step()

    @torch.no_grad()
    def losses(self, cache: Cache) -> Tensor:
        """Negative log-likelihood per member and sample, (G, N)."""
        self.eval()
        parts = torch.arange(len(cache.target)).split(self.settings.batch_size)
        return torch.cat([nll(self(batch), batch.target) for batch in (cache.rows(index) for index in parts)], dim=1)

    def keep(self, members: Sequence[int]) -> None:
        """Drop all other members; the kept ones go on with their weights and optimizer state."""
        index = torch.tensor(list(members))
        state = self.optimizer.state
        for parameter in self.parameters():
            moments = state.pop(parameter, {})
            parameter.data = parameter.data[index].clone()
            parameter.grad = None
            state[parameter] = {
                key: value[index].clone() if value.dim() else value for key, value in moments.items()
            }
        self.candidates = [self.candidates[i] for i in members]
        self._route()


class SequentialHeads:
    """The same for operators that cannot be stacked (plug-ins): one member after the other."""

    def __init__(self, candidates: Sequence[Candidate], settings: HeadSettings, points: Sequence[Point]) -> None:
        self.candidates, self.settings, self._points = list(candidates), settings, points
        self._heads = [initial_head(candidate, settings) for candidate in candidates]
        self._optimizers = [
            torch.optim.Adam(head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
            for head in self._heads
        ]

    def fit(self, cache: Cache, epochs: Sequence[float], *, seed: int, start: int = 0) -> None:
        """See :meth:`HeadStack.fit`."""
        for head, optimizer in zip(self._heads, self._optimizers, strict=True):
            head.train()
            for offset, factor in enumerate(epochs):
                optimizer.param_groups[0]["lr"] = self.settings.learning_rate * factor
                with seeded(derive(seed, "dropout", self.candidates[0].operators, start + offset)):
                    for batch in _batches(cache, self.settings.batch_size, derive(seed, "heads", start + offset)):
                        loss = nll(head(self._features(head, batch)), batch.target).mean()
                        optimizer.zero_grad(set_to_none=True)
                        loss.backward()
                        optimizer.step()

    @torch.no_grad()
    @torch.no_grad()
    def losses(self, cache: Cache) -> Tensor:
        """See :meth:`HeadStack.losses`."""
        return torch.stack([nll(head.eval()(self._features(head, cache)), cache.target) for head in self._heads])

    def keep(self, members: Sequence[int]) -> None:
        """See :meth:`HeadStack.keep`."""
        self.candidates = [self.candidates[i] for i in members]
        self._heads = [self._heads[i] for i in members]
        self._optimizers = [self._optimizers[i] for i in members]

    def _features(self, head: FusionHead, cache: Cache) -> dict[Point, Feature]:
        wanted = {s for inputs in head.plan for s in inputs if not isinstance(s, NodeRef)} | {head.output}
        sequence = cache.tokens is not None
        features = {}
        for place, point in enumerate(self._points):
            if point in wanted:
                feature = cache.gather(torch.tensor([place]), sequence=sequence)
                features[point] = Feature(*(t[0] for t in feature))
        return features


def initial_head(candidate: Candidate, settings: HeadSettings) -> FusionHead:
    """The candidate's head at its start: a function of architecture and seed alone."""
    with seeded(derive(candidate.seed, "head", candidate.architecture.id)):
        return FusionHead(candidate.architecture, settings.width, settings.outputs, dropout=settings.dropout)


def _batches(cache: Cache, size: int, seed: int) -> Iterator[Cache]:
    generator = torch.Generator().manual_seed(seed)
    for index in torch.randperm(len(cache.target), generator=generator).split(size):
        yield cache.rows(index)


def _widen(operator: nn.Module, arity: int) -> nn.Module:
    """The operator with more inputs; its own parameters are the leading block, the rest zero."""
    assert isinstance(operator, FusionOperator)
    if operator.inputs == arity:
        return operator
    wide = operator.over(arity)
    own = dict(operator.named_parameters())
    with torch.no_grad():
        for name, parameter in wide.named_parameters():
            parameter.zero_()
            if name in own:
                leading_block(own[name], parameter).copy_(own[name])
    return wide


def _fitted(output: Feature, like: Feature) -> Feature:
    """A node's output in the form of a gathered input: pooled, or lengthened to as many tokens."""
    tokens = like.values.shape[-2]
    if tokens == 1:
        return Feature.vector(pool(output), output.present)
    missing = tokens - output.values.shape[-2]
    if missing == 0:
        return output
    return output._replace(
        values=functional.pad(output.values, (0, 0, 0, missing)), mask=functional.pad(output.mask, (0, missing))
    )


def _where(members: Tensor, yes: Feature, no: Feature) -> Feature:
    return Feature(
        torch.where(members[:, None, None, None], yes.values, no.values),
        torch.where(members[:, None, None], yes.mask, no.mask),
        torch.where(members[:, None], yes.present, no.present),
    )


