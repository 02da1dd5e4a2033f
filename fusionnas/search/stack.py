"""Heads of one operator sequence trained side by side: one set of (G, ...) parameters, one pass for all.

This is stand-alone training (no weights are shared between members), so it has no ranking gap of a supernet. A head
with fewer inputs than its stack's widest is embedded as the leading block, its further inputs absent: same function,
same gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.architecture import NodeRef, Point, Source
from fusionnas.feature import Feature, all_there, pool
from fusionnas.layers import leading_block, stack_modules
from fusionnas.network import run_operator
from fusionnas.operators.base import FusionOperator
from fusionnas.search.cache import Batch, Cache
from fusionnas.search.heads import Candidate, HeadSettings, adam, epoch_seed, initial_head
from fusionnas.training.scoring import nll


def largest_stack(settings: HeadSettings) -> int:
    """Members of a stack at most: so many that what a step computes stays within about two megabytes a tensor."""
    return max(1, min(128, 2**18 // (settings.batch_size * settings.width)))


@dataclass(frozen=True)
class _Slot:
    """Where the members' input number so-and-so of a node comes from.

    Attributes:
        rows: per member the cached point, or the row of nothing.
        nodes: earlier nodes that some members read instead, and which those are; None = all members.
    """

    rows: Tensor
    nodes: tuple[tuple[int, Tensor | None], ...]

    def to(self, device: torch.device) -> _Slot:
        """The same on a device."""
        nodes = ((node, None if here is None else here.to(device)) for node, here in self.nodes)
        return _Slot(self.rows.to(device), tuple(nodes))


class HeadStack(nn.Module):
    """See the module and :class:`fusionnas.search.heads.Heads`.

    Args:
        candidates: members; all with the same ``operators``.
        settings: sizes and rates.
        points: fusion points in the order of the caches.
    """

    def __init__(self, candidates: Sequence[Candidate], settings: HeadSettings, points: Sequence[Point]) -> None:
        super().__init__()
        self.candidates, self.settings = list(candidates), settings
        starts = [candidate.start for candidate in candidates]
        first = {start: candidate for start, candidate in zip(reversed(starts), reversed(candidates), strict=True)}
        index = torch.tensor([list(first).index(start) for start in starts])
        heads = [initial_head(candidate, settings) for candidate in first.values()]
        self._drops_fused = heads[0].drops_fused
        nodes = range(len(candidates[0].architecture.nodes))
        inputs = [max(len(c.architecture.nodes[i].inputs) for c in candidates) for i in nodes]
        self.nodes = nn.ModuleList(
            _members(stack_modules([_widen(head.nodes[i], inputs[i]) for head in heads]), index)
            for i in nodes
        )
        self.readout = _members(stack_modules([head.readout for head in heads]), index)
        place: dict[Source, int] = {point: number for number, point in enumerate(points)}
        self._slots = [[_slot(candidates, i, s, place) for s in range(inputs[i])] for i in nodes]
        self._filled = all(len(c.architecture.nodes[i].inputs) == inputs[i] for c in candidates for i in nodes)
        self._ends = torch.tensor([place.get(c.architecture.output, len(points)) for c in candidates])

    def place(self, device: torch.device) -> None:
        """See :meth:`fusionnas.search.heads.Heads.place`."""
        self.to(device)
        self._slots = [[slot.to(device) for slot in slots] for slots in self._slots]
        self._ends = self._ends.to(device)

    def forward(self, batch: Batch) -> Tensor:
        """Cached features of B samples -> logits (G, B, C)."""
        outputs: list[Feature] = []
        complete = self._filled and batch.complete
        for operator, slots in zip(self.nodes, self._slots, strict=True):
            assert isinstance(operator, FusionOperator)
            inputs = [_input(batch, slot, outputs, operator.sequence) for slot in slots]
            output = run_operator(operator, [_there(x) for x in inputs] if complete else inputs)
            outputs.append(_there(output) if complete else output)
        fused = pool(outputs[-1] if outputs else batch.features(self._ends, tokens=False))
        logits: Tensor = self.readout(batch.dropped(fused) if self._drops_fused else fused)
        return logits

    def fit(self, cache: Cache, factors: Sequence[float], *, seed: int) -> None:
        """See :meth:`fusionnas.search.heads.Heads.fit`."""
        settings = self.settings
        optimizer = adam(self.parameters(), settings)
        for epoch, factor in enumerate(factors):
            optimizer.param_groups[0]["lr"] = settings.learning_rate * factor
            drawn = epoch_seed(seed, epoch)
            for batch in cache.batches(settings.batch_size, settings.dropout, seed=drawn, device=self._ends.device):
                loss = nll(self(batch), batch.target).mean(-1).sum()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

    @torch.no_grad()
    def losses(self, cache: Cache) -> Tensor:
        """See :meth:`fusionnas.search.heads.Heads.losses`."""
        batches = cache.batches(self.settings.batch_size, device=self._ends.device)
        return torch.cat([nll(self(batch), batch.target) for batch in batches], dim=1).cpu()


def _members(stacked: nn.Module, index: Tensor) -> nn.Module:
    """The stack whose member i is member ``index[i]`` of ``stacked``."""
    for module in stacked.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(parameter.detach()[index]))
    return stacked


def _slot(candidates: Sequence[Candidate], node: int, slot: int, place: dict[Source, int]) -> _Slot:
    nothing = len(place)
    inputs = [c.architecture.nodes[node].inputs for c in candidates]
    read: list[Source | None] = [sources[slot] if slot < len(sources) else None for sources in inputs]
    rows = torch.tensor([nothing if s is None else place.get(s, nothing) for s in read])
    nodes = []
    for earlier in sorted({s.node for s in read if isinstance(s, NodeRef)}):
        here = torch.tensor([s == NodeRef(earlier) for s in read])
        nodes.append((earlier, None if bool(here.all()) else here))
    return _Slot(rows, tuple(nodes))


def _input(batch: Batch, slot: _Slot, outputs: list[Feature], tokens: bool) -> Feature:
    if slot.nodes and slot.nodes[0][1] is None:
        output = outputs[slot.nodes[0][0]]
        return output if tokens else _vector(output)
    feature = batch.features(slot.rows, tokens=tokens)
    for node, here in slot.nodes:
        assert here is not None
        output = outputs[node] if tokens else _vector(outputs[node])
        length = max(f.values.shape[-2] for f in (output, feature))  # an operator may give more than any modality has
        feature = _where(here, _lengthen(output, length), _lengthen(feature, length))
    return feature


def _there(feature: Feature) -> Feature:
    """The same, known to be all there."""
    present = all_there(*feature.present.shape)
    mask = present.unsqueeze(-1) if feature.mask.shape[-1] == 1 else feature.mask
    return Feature(feature.values, mask, present)


def _vector(output: Feature) -> Feature:
    return Feature(pool(output).unsqueeze(-2), output.present.unsqueeze(-1), output.present)


def _lengthen(output: Feature, tokens: int) -> Feature:
    missing = tokens - output.values.shape[-2]
    values = functional.pad(output.values, (0, 0, 0, missing))
    return output._replace(values=values, mask=functional.pad(output.mask, (0, missing)))


def _where(members: Tensor, yes: Feature, no: Feature) -> Feature:
    return Feature(
        torch.where(members[:, None, None, None], yes.values, no.values),
        torch.where(members[:, None, None], yes.mask, no.mask),
        torch.where(members[:, None], yes.present, no.present),
    )


def _widen(operator: nn.Module, inputs: int) -> nn.Module:
    """The operator with more inputs; its own parameters are the leading block, the rest zero."""
    assert isinstance(operator, FusionOperator)
    if operator.inputs == inputs:
        return operator
    wide = operator.over(inputs)
    own = dict(operator.named_parameters())
    with torch.no_grad():
        for name, parameter in wide.named_parameters():
            parameter.zero_()
            if name in own:
                leading_block(own[name], parameter).copy_(own[name])
    return wide
