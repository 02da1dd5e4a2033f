"""Supernet: every choice of a space at once, mixed by given weights.

Inputs of a node are mixed first, then each operator runs once on the mixed inputs, so a node costs as many
operator calls as it has operators, however many inputs it may choose among. At one-hot weights the output is
that of the discrete network with the same weights (``extract``), in float64 to 1e-6: BM-NAS and DARTS train
one form and ship another, which this form rules out.

Shapes: B batch, T tokens, D width, C outputs, P candidates (fusion points, then earlier nodes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.architecture import Architecture, Point
from fusionnas.encoders.encoder import SearchableEncoder
from fusionnas.feature import Feature, Signature, all_there, everywhere, known, pool
from fusionnas.layers import Dropout, Linear, leading_block
from fusionnas.network import Encoded, WidePath, build
from fusionnas.operators import operators
from fusionnas.operators.base import FusionOperator, Slots, where_present
from fusionnas.supernet.mixing import Mixing
from fusionnas.supernet.packing import Packing

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace


class Supernet(nn.Module):
    """All encoders, operators and fusion points of a space; ``forward`` takes the mixing weights.

    Args:
        space: what may be chosen.
        signature: sizes of inputs and outputs.
    """

    def __init__(self, space: SearchSpace, signature: Signature) -> None:
        super().__init__()
        self.space, self.signature = space, signature
        fusion, modalities = space.file.fusion, space.file.modalities
        self.encoders = nn.ModuleDict(
            {
                name: SearchableEncoder(signature.inputs[name], fusion.width, m.encoder, m.levels, m.dropout)
                for name, m in modalities.items()
            }
        )
        self.wide = nn.ModuleDict(
            {
                name: WidePath(signature.inputs[name].width, signature.outputs, m.dropout)
                for name, m in modalities.items()
                if m.wide
            }
        )
        self.nodes = nn.ModuleList(
            nn.ModuleDict(
                {n: operators[n].build(r.most, fusion.width, signature.outputs) for n, r in space.rules.items()}
            )
            for _ in range(fusion.nodes)
        )
        self._packings = [_packing(node, fusion.inputs[1], fusion.width) for node in self.nodes]
        self.readout = Linear(fusion.width, signature.outputs)
        self.dropout = Dropout(space.file.training.dropout)
        self._tokens = any(operators[name].sequence for name in fusion.operators)

    def encode(
        self, inputs: Mapping[str, Feature], mixing: Mixing, encoded: Encoded | None = None
    ) -> dict[Point, Feature]:
        """Features (B, T, D) of every fusion point; ``encoded`` modalities are not encoded again."""
        features, ready = {}, encoded or {}
        for name, encoder in self.encoders.items():
            levels = ready[name] if name in ready else encoder(inputs[name], mixing.layers[name])
            for level, feature in enumerate(levels):
                features[Point(name, level)] = feature
        return features

    def forward(self, inputs: Mapping[str, Feature], mixing: Mixing, encoded: Encoded | None = None) -> Tensor:
        """Inputs by modality -> logits (B, C); ``encoded`` as for ``encode``."""
        return self.decode(self.encode(inputs, mixing, encoded), inputs, mixing)

    def decode(self, by_point: Mapping[Point, Feature], inputs: Mapping[str, Feature], mixing: Mixing) -> Tensor:
        """What ``encode`` gave, and the inputs for wide paths -> logits (B, C).

        The mixing may be on the CPU while all else is elsewhere: it is looked at where it is, and multiplied there.
        """
        features = [by_point[point] for point in self.space.points()]
        candidates = Candidates([f._replace(values=self.dropout(f.values)) for f in features], tokens=self._tokens)
        ends, there = mixing.output[len(features) :], mixing.to(self.readout.weight.device)
        decided = torch.zeros(())
        for index, (node, slots, gamma, end) in enumerate(
            zip(self.nodes, there.slots, mixing.operators, ends, strict=True)
        ):
            assert isinstance(node, nn.ModuleDict) and self.readout.bias is not None
            for operator, weight in _decisions(node, gamma * end):
                # What a decision decides has no readout after it, so as much of the readout's bias is taken back.
                inputs_of = candidates.vectors(slots[:, :-1])[: operator.inputs]
                decided = decided + weight * (operator(inputs_of).values.squeeze(-2) - self.readout.bias)
            candidates.append(*_mixed_node(node, self._packings[index], candidates, slots, gamma))
        fused = candidates.mixed(there.output)
        logits: Tensor = decided + self.readout(self.dropout(fused.unsqueeze(-2)).squeeze(-2))
        for name, path in self.wide.items():
            if self._reads(name, mixing):
                logits = logits + path(inputs[name])
        return logits

    def extract(self, architecture: Architecture) -> dict[str, Tensor]:
        """State dict for ``build(space, architecture, signature)`` with this supernet's weights (copied)."""
        network = build(self.space, architecture, self.signature)
        own = self.state_dict()
        state = {}
        for key, value in network.state_dict().items():
            source = key.removeprefix("head.")
            if source.startswith("nodes."):
                _, index, rest = source.split(".", 2)
                source = f"nodes.{index}.{architecture.nodes[int(index)].operator}.{rest}"
            state[key] = leading_block(value, own[source]).clone()
        return state

    def _reads(self, modality: str, mixing: Mixing) -> bool:
        # A wide path belongs to its modality: a discrete architecture that does not read it has none.
        places = [i for i, point in enumerate(self.space.points()) if point.modality == modality]
        reads = [mixing.output[places].detach(), *(slots[:, places].detach() for slots in mixing.slots)]
        return any(bool((weights > 0).any()) for weights in reads)


class Candidates:
    """What the slots of the next node may read: pooled vectors, and token sequences where an operator wants them."""

    def __init__(self, features: list[Feature], *, tokens: bool) -> None:
        pooled = torch.stack([pool(f) for f in features])
        self.points, self._form = pooled.flatten(1), pooled.shape[1:]
        self.nodes: list[Tensor] = []
        self.present = [f.present for f in features]
        self._complete = all(map(everywhere, self.present))
        length = max(f.values.shape[-2] for f in features)
        self.sequences = [_lengthen(f, length) for f in features] if tokens else []

    def append(self, pooled: Tensor, sequence: Feature) -> None:
        """Add a node's output."""
        self.nodes.append(pooled)
        self.present.append(sequence.present)
        self._complete = self._complete and everywhere(sequence.present)
        if self.sequences:
            # An operator may give more tokens than any modality has.
            length = max(f.values.shape[-2] for f in (sequence, self.sequences[0]))
            self.sequences = [_lengthen(f, length) for f in (*self.sequences, sequence)]

    def mixed(self, weights: Tensor) -> Tensor:
        """Candidates' vectors mixed: weights (P,) or (S, P) -> (B, D) or (S, B, D)."""
        rows = weights.reshape(-1, weights.shape[-1])
        mixed = rows[:, : len(self.points)] @ self.points
        if self.nodes:
            mixed = torch.addmm(mixed, rows[:, len(self.points) :], torch.stack(self.nodes).flatten(1))
        return mixed.reshape(*weights.shape[:-1], *self._form)

    def nothing(self) -> Tensor:
        """A vector of zeros, (B, D)."""
        return self.points.new_zeros(self._form)

    def vectors(self, slots: Tensor) -> Slots:
        """One mixed vector per slot; slots (S, P)."""
        # Slots side by side in memory, once: every operator reads them so.
        values = self.mixed(slots).transpose(0, 1).contiguous()
        present = self._present(slots).transpose(0, 1)
        return Slots(where_present(present.unsqueeze(-1), values), present)

    def tokens(self, slots: Tensor) -> list[Feature]:
        """One mixed sequence per slot: tokens are added position by position."""
        values = weighted(slots, [f.values for f in self.sequences])
        masks = _any(slots, torch.stack([f.mask for f in self.sequences]))
        return [Feature(v, m, p) for v, m, p in zip(values, masks, self._present(slots), strict=True)]

    def _present(self, slots: Tensor) -> Tensor:
        """(S, B): some candidate of non-zero weight is there."""
        if self._complete:
            reads, size = (slots.detach() > 0).any(-1), len(self.present[0])
            return all_there(len(slots), size) if everywhere(reads) else reads.unsqueeze(-1).expand(-1, size)
        return _any(slots, torch.stack(self.present))


def _packing(node: nn.Module, slots: int, width: int) -> Packing:
    assert isinstance(node, nn.ModuleDict)
    vector = {n: op for n, op in node.items() if isinstance(op, FusionOperator) and not (op.sequence or op.decides)}
    return Packing(vector, slots, width)


def _decisions(node: nn.ModuleDict, weights: Tensor) -> list[tuple[FusionOperator, Tensor]]:
    """The node's operators that give logits and have any weight, with their weights."""
    found = []
    for place, operator in enumerate(node.values()):
        assert isinstance(operator, FusionOperator)
        if operator.decides and float(weights.detach()[place]) > 0:
            found.append((operator, weights[place]))
    return found


def _mixed_node(
    node: nn.ModuleDict, packing: Packing, candidates: Candidates, slots: Tensor, gamma: Tensor
) -> tuple[Tensor, Feature]:
    """The node's output, pooled (B, D) and as a sequence, mixed over operators with weights ``gamma``."""
    slots = slots[:, :-1]  # the last candidate is "nothing": it adds nothing
    # A program that is traced cannot look at weights: it runs all operators, also those of weight 0.
    weights = [1.0] * len(node) if torch.compiler.is_compiling() else gamma.detach().tolist()
    chosen: dict[str, FusionOperator] = {}
    for (name, operator), weight in zip(node.items(), weights, strict=True):
        assert isinstance(operator, FusionOperator)
        if weight > 0 and not operator.decides:
            chosen[name] = operator
    if not chosen:
        return candidates.nothing(), Feature.vector(candidates.nothing()).absent()
    kinds = {operator.sequence for operator in chosen.values()}
    tokens = candidates.tokens(slots) if True in kinds else []
    vectors = candidates.vectors(slots) if False in kinds else None
    with packing.given(vectors.values, chosen) if vectors else nullcontext():
        # An operator that takes fewer inputs than the node has slots reads the first ones, as its decode does.
        outputs = [op(_first(tokens if op.sequence else vectors or (), op.inputs)) for op in chosen.values()]
    own = gamma if len(chosen) == len(node) else gamma[[name in chosen for name in node]]
    own = own.to(outputs[0].values.device)
    present = _some([f.present for f in outputs])
    if True not in kinds:
        values = weighted(own, [f.values for f in outputs])
        return values.squeeze(-2), Feature(values, present.unsqueeze(-1), present)
    length = max(f.values.shape[-2] for f in outputs)
    longer = [_lengthen(f, length) for f in outputs]
    values = weighted(own, [f.values for f in longer])
    pooled = weighted(own, [pool(f) for f in outputs])
    return pooled, Feature(values, torch.stack([f.mask for f in longer]).any(0), present)


def weighted(weights: Tensor, values: Sequence[Tensor]) -> Tensor:
    """``sum_p w_p v_p``: weights (P,) or (S, P), P tensors of one shape -> that shape, or S of it."""
    return (weights @ torch.stack(list(values)).flatten(1)).reshape(*weights.shape[:-1], *values[0].shape)


def _first(inputs: Sequence[Feature], count: int) -> Sequence[Feature]:
    return inputs if count == len(inputs) else inputs[:count]


def _lengthen(feature: Feature, length: int) -> Feature:
    missing = length - feature.values.shape[-2]
    if missing == 0:
        return feature
    return feature._replace(
        values=functional.pad(feature.values, (0, 0, 0, missing)), mask=functional.pad(feature.mask, (0, missing))
    )


def _some(flags: Sequence[Tensor]) -> Tensor:
    """Where any of the flags is set."""
    return flags[0] if len(flags) == 1 or known(flags[0]) else torch.stack(list(flags)).any(0)


def _any(slots: Tensor, flags: Tensor) -> Tensor:
    """(S, P) weights and (P, ...) flags -> (S, ...): some candidate of non-zero weight has the flag."""
    used = (slots.detach() > 0).to(torch.float32)
    found: Tensor = torch.tensordot(used, flags.to(torch.float32), dims=1) > 0
    return found
