"""GatedNetwork: a FusionNetwork that decides per sample which encoders and nodes to run, and skips the rest.

In eval mode ``forward`` routes: samples that go on are gathered, computed and put back in their places; what nobody
needs is not computed; a batch of one takes plain branches. ``dense`` computes everything and selects: the same result
to rounding, without a branch on data. Training decodes densely with decisions from ``draw``.

A modality that was not asked for is absent, exactly as if the sample lacked it. A node that was not asked for passes
its ``otherwise`` input through a linear map of its own. A gate of what a sample lacks is closed.

Source: Xue & Marculescu, "Dynamic Multimodal Fusion", CVPR workshops 2023, arXiv:2204.00102. Departs from it: skipped
branches are not computed; a chain of gates, cheap modalities first, not a choice among experts; each node has a gate of
its own that sees one of its inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fusionnas.architecture import NodeRef, Point, Source
from fusionnas.encoders.encoder import Encoder
from fusionnas.feature import Feature
from fusionnas.gates.gate import Draw, Gate, hard, pooled_together
from fusionnas.gates.plan import Ask, Encode, Fuse, Step, plan_of
from fusionnas.gates.rows import (
    Inputs,
    Present,
    branch,
    choose,
    encode_rows,
    gather,
    passed_on,
    running_rows,
    settled,
)
from fusionnas.layers import Linear
from fusionnas.network import Encoded, FusionNetwork
from fusionnas.operators.base import FusionOperator

Decisions = dict[str, Tensor]
"""(B,) per gate, by its name: 1 = the gate was asked and went on."""


class Decided(NamedTuple):
    """What came of some decisions.

    Attributes:
        logits: (B, C).
        decisions: of every gate.
        known: every feature, of points and of nodes.
    """

    logits: Tensor
    decisions: Decisions
    known: Mapping[Source, Feature]


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
            self.gates[f"stage_{stage}"] = Gate(len(self.seen(stage)), width, signature.outputs)
        for node in self.otherwise:
            self.gates[f"node_{node}"] = Gate(1, width, signature.outputs)
        self.passes = nn.ModuleDict()
        for node in self.otherwise:
            decides = self.head.decides and node == len(self.head.nodes) - 1
            linear = Linear(width, signature.outputs if decides else width)
            if not decides:
                nn.init.eye_(linear.weight)
            self.passes[f"node_{node}"] = linear

    def seen(self, stage: int) -> list[Point]:
        """The points that the gate before a stage reads: all of the stages before it."""
        return [point for before in self.stages[:stage] for point in self.points_of(before)]

    def points_of(self, modalities: Sequence[str]) -> list[Point]:
        """The points of some modalities that the head reads."""
        return [point for point in self.architecture.points() if point.modality in modalities]

    def levels(self, name: str, points: Sequence[Point], feature: Feature) -> list[Feature]:
        """A modality's input -> some of its points."""
        levels = self.encoders[name](feature)
        return [levels[point.level] for point in points]

    def forward(self, inputs: Mapping[str, Feature], encoded: Encoded | None = None) -> Tensor:
        """Inputs by modality, (B, T, R) or (B, T) ids -> logits (B, C)."""
        if self.training or encoded is not None or self.draw is not hard:
            return self.decode(self.encode(inputs, encoded), inputs)
        return self.routed(inputs)

    def decode(self, features: Mapping[Point, Feature], inputs: Mapping[str, Feature]) -> Tensor:
        """All features, and the inputs for wide paths -> logits (B, C) under decisions from ``draw``."""
        return self.decided(features, inputs, self.draw).logits

    def decided(
        self, features: Mapping[Point, Feature], inputs: Mapping[str, Feature], draw: Draw
    ) -> Decided:
        """All features, and the inputs for wide paths -> what comes of the decisions from ``draw``."""
        decisions: Decisions = {}
        known: dict[Source, Feature] = {}
        running = torch.ones_like(next(iter(features.values())).present)
        active = dict.fromkeys(inputs, running)
        for stage, names in enumerate(self.stages):
            if stage:
                left = len(self.stages) - stage
                name, seen = f"stage_{stage}", [known[point] for point in self.seen(stage)]
                decision = draw(name, self.gates[name](seen), left / (left + 1))
                decisions[name] = decision * running.to(decision.dtype)
                running = running & (decision > 0)
            active |= dict.fromkeys(names, running)
            known |= {point: features[point].only(running) for point in self.points_of(names)}
        for point, feature in features.items():
            known[point] = self.head.dropped(known.get(point, feature))
        present = {name: feature.present & active[name] for name, feature in inputs.items()}
        for index in range(len(self.head.plan)):
            fused = self.head.node(index, known)
            if index in self.otherwise:
                wanted = self.wanted(index, known[self.otherwise[index]], present, draw)
                decisions[f"node_{index}"] = wanted
                fused = choose(wanted > 0, fused, self.passed(index, known[self.otherwise[index]]))
            known[NodeRef(index)] = fused
        return Decided(self._finish(known, inputs, active), decisions, known)

    def guesses(self, known: Mapping[Source, Feature]) -> list[Tensor]:
        """What every gate guesses from what it sees: logits (B, C) each; no gradient reaches the features."""
        seen: dict[str, list[Source]] = {f"stage_{i}": [*self.seen(i)] for i in range(1, len(self.stages))}
        seen |= {f"node_{node}": [source] for node, source in self.otherwise.items()}
        pooled = {name: pooled_together([known[source] for source in sources]) for name, sources in seen.items()}
        gates = {name: gate for name, gate in self.gates.items() if isinstance(gate, Gate)}
        return [gate.guess(pooled[name].detach()) for name, gate in gates.items()]

    def wanted(self, index: int, seen: Feature, present: Mapping[str, Tensor], draw: Draw) -> Tensor:
        """(B,) decisions of a node's gate: closed where nothing else is there, open where only something else is."""
        name = f"node_{index}"
        decision = draw(name, self.gates[name]([seen]), 0.5)
        return settled(decision, seen, [present[name] for name in self.behind[index]])

    def passed(self, index: int, feature: Feature) -> Feature:
        """What a skipped node gives: its ``otherwise`` input, mapped."""
        operator = self.head.nodes[index]
        assert isinstance(operator, FusionOperator)
        return passed_on(self.passes[f"node_{index}"], feature, tokens=operator.sequence)

    def _finish(
        self, known: Mapping[Source, Feature], inputs: Mapping[str, Feature], active: Mapping[str, Tensor]
    ) -> Tensor:
        logits = self.head.read(known[self.architecture.output])
        for name, path in self.wide.items():
            logits = logits + path(inputs[name].only(active[name]) if self.stages else inputs[name])
        return logits

    def routed(self, inputs: Mapping[str, Feature]) -> Tensor:
        """As ``dense``, computing for each sample only what it needs."""
        return self.through(Pass(self, inputs), inputs)

    def through(self, pass_: Pass, inputs: Inputs) -> Tensor:
        """Logits (B, C) by one way of carrying out the plan."""
        active = dict.fromkeys(inputs, torch.ones_like(next(iter(inputs.values())).present))
        if self.stages:
            active |= pass_.cascade(inputs)
        present = {name: inputs[name].present & active[name] for name in self.architecture.modalities}
        pass_.run(self.steps, pass_.known, inputs, present)
        return self._finish(pass_.known, inputs, active)


class Pass:
    """One routed forward pass; row numbers of nested branches are those of their own batch."""

    def __init__(self, network: GatedNetwork, inputs: Mapping[str, Feature]) -> None:
        self.network = network
        self.size = next(iter(inputs.values())).present.shape[0]  # len() would fix it in a captured program
        self.known: dict[Source, Feature] = {}

    def cascade(self, inputs: Mapping[str, Feature]) -> dict[str, Tensor]:
        """Encode stage after stage for the samples that go on; (B,) per modality, for which it was run."""
        network, empty = self.network, next(self.network.parameters())
        rows = torch.arange(self.size, device=empty.device)
        active: dict[str, Tensor] = {}
        for stage, names in enumerate(network.stages):
            if stage and len(rows):
                seen = [gather(self.known[point], rows) for point in network.seen(stage)]
                rows = rows[network.gates[f"stage_{stage}"](seen) > 0]
            active |= dict.fromkeys(names, running_rows(rows, self.size))
            for name in names:
                points = network.points_of((name,))
                nothing = [Feature.vector(empty.new_zeros(self.size, network.width)).absent()] * len(points)
                encode = partial(network.levels, name, points)
                self.known |= zip(points, encode_rows(encode, inputs[name], rows, nothing), strict=True)
        return active

    def run(
        self, steps: Sequence[Step], known: dict[Source, Feature], inputs: Inputs, present: Present
    ) -> None:
        """Carry out steps; ``known``, ``inputs`` and ``present`` hold the same samples."""
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
        self, step: Ask, known: dict[Source, Feature], inputs: Inputs, present: Present
    ) -> Feature:
        network, seen = self.network, known[step.otherwise]
        wanted = network.wanted(step.node, seen, {name: present[name] for name in step.behind}, hard) > 0
        reads = [source for source in step.reads if not isinstance(source, str)]

        def run(inputs: Inputs, present: Present, features: list[Feature]) -> Feature:
            inner: dict[Source, Feature] = dict(zip(reads, features, strict=True))
            self.run(step.body, inner, inputs, present)
            return inner[NodeRef(step.node)]

        raw = {name: inputs[name] for name in step.reads if isinstance(name, str)}
        skip = partial(network.passed, step.node, seen)
        return branch(wanted, run, skip, raw, present, [known[source] for source in reads])


def _asks(steps: Sequence[Step]) -> list[Ask]:
    asks = [step for step in steps if isinstance(step, Ask)]
    return asks + [inner for ask in asks for inner in _asks(ask.body)]
