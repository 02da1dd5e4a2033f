"""GatedNetwork: a FusionNetwork that decides per sample which encoders and nodes to run, and skips the rest.

In eval mode ``forward`` routes: samples that go on are gathered, computed and put back in their places; what nobody
needs is not computed; a batch of one takes plain branches. ``dense`` computes everything and selects: the same result
to rounding, without a branch on data. Training decodes densely with decisions from ``draw``.

A modality that was not asked for is absent, exactly as if the sample lacked it. A node that was not asked for passes
its ``otherwise`` input through a linear map of its own. A gate of what a sample lacks is closed.

Source: Xue & Marculescu, "Dynamic Multimodal Fusion", CVPR workshops 2023, arXiv:2204.00102. Departs from it: skipped
branches are not computed; a chain of gates, cheap modalities first, not a choice among experts; each node has a gate of
its own that sees its cheapest input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.architecture import NodeRef, Point, Source
from fusionnas.encoders.encoder import Encoder
from fusionnas.feature import Feature, pool
from fusionnas.gates.gate import Draw, Gate, hard
from fusionnas.gates.plan import Ask, Encode, Fuse, Step, plan_of
from fusionnas.layers import Linear
from fusionnas.network import Encoded, FusionNetwork
from fusionnas.operators.base import FusionOperator

Decisions = dict[str, Tensor]
"""(B,) per gate, by its name: 1 = the gate was asked and went on."""


class GatedNetwork(FusionNetwork):
    """See the module; arguments as for :class:`fusionnas.network.FusionNetwork`, with an architecture that has gates.

    Attributes:
        draw: how logits become decisions where everything is computed; ``hard`` but during training.
    """

    def __init__(self, architecture: Any, signature: Any, *, width: int, **options: Any) -> None:
        super().__init__(architecture, signature, width=width, **options)
        gates = architecture.gates
        self.stages: tuple[tuple[str, ...], ...] = gates.stages
        self.otherwise: dict[int, Source] = dict(gates.nodes)
        self.draw: Draw = hard
        self.steps = plan_of(architecture, encoded=bool(self.stages))
        self.behind = {step.node: step.behind for step in _asks(self.steps)}
        self.gates = nn.ModuleDict()
        for stage in range(1, len(self.stages)):
            self.gates[f"stage_{stage}"] = Gate(len(self._seen(stage)), width)
        for node in self.otherwise:
            self.gates[f"node_{node}"] = Gate(1, width)
        self.passes = nn.ModuleDict()
        for node in self.otherwise:
            decides = self.head.decides and node == len(self.head.nodes) - 1
            linear = Linear(width, signature.outputs if decides else width)
            if not decides:
                nn.init.eye_(linear.weight)
            self.passes[f"node_{node}"] = linear

    def _seen(self, stage: int) -> list[Point]:
        """The points that the gate before a stage reads: all of the stages before it."""
        return [point for before in self.stages[:stage] for point in self._points(before)]

    def _points(self, modalities: Sequence[str]) -> list[Point]:
        return [point for point in self.architecture.points() if point.modality in modalities]

    def forward(self, inputs: Mapping[str, Feature], encoded: Encoded | None = None) -> Tensor:
        """Inputs by modality, (B, T, R) or (B, T) ids -> logits (B, C)."""
        if self.training or encoded is not None or self.draw is not hard:
            return self.decode(self.encode(inputs, encoded), inputs)
        return self.routed(inputs)

    def decode(self, features: Mapping[Point, Feature], inputs: Mapping[str, Feature]) -> Tensor:
        """All features, and the inputs for wide paths -> logits (B, C) under decisions from ``draw``."""
        return self.decided(features, inputs, self.draw)[0]

    def decided(
        self, features: Mapping[Point, Feature], inputs: Mapping[str, Feature], draw: Draw
    ) -> tuple[Tensor, Decisions]:
        """Logits (B, C), and every gate's decision."""
        decisions: Decisions = {}
        known: dict[Source, Feature] = {}
        running = torch.ones_like(next(iter(features.values())).present)
        active = dict.fromkeys(inputs, running)
        for stage, names in enumerate(self.stages):
            if stage:
                left = len(self.stages) - stage
                name, seen = f"stage_{stage}", [known[point] for point in self._seen(stage)]
                decision = draw(name, self.gates[name](seen), left / (left + 1))
                decisions[name] = decision * running.to(decision.dtype)
                running = running & (decision > 0)
            active |= dict.fromkeys(names, running)
            known |= {point: features[point].only(running) for point in self._points(names)}
        for point, feature in features.items():
            known[point] = self.head.dropped(known.get(point, feature))
        present = {name: feature.present & active[name] for name, feature in inputs.items()}
        for index in range(len(self.head.plan)):
            fused = self.head.node(index, known)
            if index in self.otherwise:
                wanted = self._wanted(index, known[self.otherwise[index]], present, draw)
                decisions[f"node_{index}"] = wanted
                fused = _select(wanted > 0, fused, self._pass(index, known[self.otherwise[index]]))
            known[NodeRef(index)] = fused
        return self._finish(known, inputs, active), decisions

    def _wanted(self, index: int, seen: Feature, present: Mapping[str, Tensor], draw: Draw) -> Tensor:
        """(B,) decisions of a node's gate: closed where nothing else is there, open where only something else is."""
        name = f"node_{index}"
        decision = draw(name, self.gates[name]([seen]), 0.5)
        some = torch.stack([present[name] for name in self.behind[index]]).any(0)
        return torch.where(seen.present, decision, 1.0) * some.to(decision.dtype)

    def _pass(self, index: int, feature: Feature) -> Feature:
        """What a skipped node gives: its ``otherwise`` input, mapped; one token, unless its operator reads several."""
        operator = self.head.nodes[index]
        assert isinstance(operator, FusionOperator)
        if not operator.sequence and feature.values.shape[-2] > 1:
            feature = Feature.vector(pool(feature), feature.present)
        values: Tensor = self.passes[f"node_{index}"](feature.values)
        return feature._replace(values=torch.where(feature.mask.unsqueeze(-1), values, 0.0))

    def _finish(
        self, known: Mapping[Source, Feature], inputs: Mapping[str, Feature], active: Mapping[str, Tensor]
    ) -> Tensor:
        logits = self.head.read(known[self.architecture.output])
        for name, path in self.wide.items():
            logits = logits + path(inputs[name].only(active[name]) if self.stages else inputs[name])
        return logits

    def routed(self, inputs: Mapping[str, Feature]) -> Tensor:
        """As ``dense``, computing for each sample only what it needs."""
        pass_ = _Pass(self, inputs)
        active = dict.fromkeys(inputs, torch.ones_like(next(iter(inputs.values())).present))
        if self.stages:
            active |= pass_.cascade(inputs)
        present = torch.stack([inputs[name].present & active[name] for name in self.architecture.modalities], 1)
        pass_.run(self.steps, pass_.known, dict(inputs), present)
        return self._finish(pass_.known, inputs, active)


class _Pass:
    """One routed forward pass; row numbers of nested branches are those of their own batch."""

    def __init__(self, network: GatedNetwork, inputs: Mapping[str, Feature]) -> None:
        self.network = network
        self.size = len(next(iter(inputs.values())).present)
        self.known: dict[Source, Feature] = {}
        self.columns = {name: place for place, name in enumerate(network.architecture.modalities)}

    def cascade(self, inputs: Mapping[str, Feature]) -> dict[str, Tensor]:
        """Encode stage after stage for the samples that go on; (B,) per modality, for which it was run."""
        network, rows = self.network, torch.arange(self.size)
        active: dict[str, Tensor] = {}
        for stage, names in enumerate(network.stages):
            if stage and len(rows):
                seen = [_rows(self.known[point], rows, self.size) for point in network._seen(stage)]
                rows = rows[network.gates[f"stage_{stage}"](seen) > 0]
            running = torch.zeros(self.size, dtype=torch.bool).index_fill_(0, rows, True)
            active |= dict.fromkeys(names, running)
            for name in names:
                self._encode_rows(name, inputs[name], rows[inputs[name].present[rows]])
        return active

    def _encode_rows(self, name: str, feature: Feature, rows: Tensor) -> None:
        """All points of a modality, for some samples; the others lack them."""
        points = self.network._points((name,))
        if not len(rows):
            zeros = next(self.network.parameters()).new_zeros(self.size, self.network.width)
            self.known |= dict.fromkeys(points, Feature.vector(zeros).absent())
            return
        levels = self.network.encoders[name](_rows(feature, rows, self.size))
        self.known |= {point: _spread(levels[point.level], rows, self.size) for point in points}

    def run(
        self, steps: Sequence[Step], known: dict[Source, Feature], inputs: dict[str, Feature], present: Tensor
    ) -> None:
        """Carry out steps; ``known`` and ``inputs`` hold the same samples as ``present`` (B, modalities)."""
        for step in steps:
            if isinstance(step, Encode):
                known[step.point] = self._encode(step.point, known, inputs)
            elif isinstance(step, Fuse):
                known[NodeRef(step.node)] = self.network.head.node(step.node, known)
            else:
                known[NodeRef(step.node)] = self._ask(step, known, inputs, present)

    def _encode(self, point: Point, known: Mapping[Source, Feature], inputs: Mapping[str, Feature]) -> Feature:
        encoder = self.network.encoders[point.modality]
        assert isinstance(encoder, Encoder)
        feature: Feature
        if point.level == 0:
            feature = encoder.stem(inputs[point.modality])
        else:
            feature = known[Point(point.modality, point.level - 1)]
            choices = encoder.layers[point.level - 1]
            assert isinstance(choices, nn.ModuleDict)
            for layer in choices.values():
                feature = layer(feature)
        return feature

    def _ask(
        self, step: Ask, known: dict[Source, Feature], inputs: dict[str, Feature], present: Tensor
    ) -> Feature:
        network, seen = self.network, known[step.otherwise]
        by_name = {name: present[:, self.columns[name]] for name in step.behind}
        wanted = network._wanted(step.node, seen, by_name, hard) > 0
        rows = wanted.nonzero().squeeze(1)
        if len(rows) == len(wanted):
            self.run(step.body, known, inputs, present)
            return known[NodeRef(step.node)]
        skipped = network._pass(step.node, seen)
        if not len(rows):
            return skipped
        inner = {source: known[source].rows(rows) for source in step.reads if not isinstance(source, str)}
        raw = {name: inputs[name].rows(rows) for name in step.reads if isinstance(name, str)}
        self.run(step.body, inner, raw, present[rows])
        ran = _spread(inner[NodeRef(step.node)], rows, len(wanted))
        return _select(wanted, ran, skipped)


def _asks(steps: Sequence[Step]) -> list[Ask]:
    asks = [step for step in steps if isinstance(step, Ask)]
    return asks + [inner for ask in asks for inner in _asks(ask.body)]


def _rows(feature: Feature, rows: Tensor, size: int) -> Feature:
    return feature if len(rows) == size else feature.rows(rows)


def _spread(feature: Feature, rows: Tensor, size: int) -> Feature:
    """Samples put back in their places among ``size``; the others lack the feature."""
    if len(rows) == size:
        return feature
    return Feature(*(t.new_zeros(size, *t.shape[1:]).index_copy_(0, rows, t) for t in feature))


def _select(wanted: Tensor, ran: Feature, skipped: Feature) -> Feature:
    """One of two features per sample; the shorter one is padded."""
    length = max(ran.values.shape[-2], skipped.values.shape[-2])
    ran, skipped = _lengthen(ran, length), _lengthen(skipped, length)
    return Feature(
        torch.where(wanted[:, None, None], ran.values, skipped.values),
        torch.where(wanted[:, None], ran.mask, skipped.mask),
        torch.where(wanted, ran.present, skipped.present),
    )


def _lengthen(feature: Feature, length: int) -> Feature:
    missing = length - feature.values.shape[-2]
    if not missing:
        return feature
    values = functional.pad(feature.values, (0, 0, 0, missing))
    return feature._replace(values=values, mask=functional.pad(feature.mask, (0, missing)))
