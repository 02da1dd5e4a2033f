"""A gated network as a captured program with real branches: what no sample of a batch needs is not computed.

``torch.cond`` on whether any sample wants a branch; what wants it is then selected per sample. In ONNX it is an ``If``.
For a batch of one this saves what routing saves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from fusionnas.architecture import NodeRef, Point, Source
from fusionnas.encoders.encoder import Encoder
from fusionnas.feature import Feature
from fusionnas.gates.gate import hard
from fusionnas.gates.network import GatedNetwork, Pass
from fusionnas.gates.plan import Ask, Encode, Fuse, Step
from fusionnas.gates.rows import Inputs, Present, choose
from fusionnas.network import run_operator
from fusionnas.operators.base import FusionOperator

Function = Callable[[Sequence[Feature]], list[Tensor]]
"""Features -> values; masks and presence are known without computing: a branch may not give out what went in."""
Call = tuple[str, Callable[[list[Feature]], Feature], list[str]]
"""Name of what it gives, what to call, names of what it takes: plain, since torch follows branches word by word."""


def conditional(network: GatedNetwork, inputs: Inputs) -> Tensor:
    """Logits (B, C), as ``network.dense``; to be captured, not to be run eagerly."""
    return network.through(_ConditionalPass(network, inputs), inputs)


class _ConditionalPass(Pass):
    """The plan with one branch per gate for the whole batch."""

    def cascade(self, inputs: Inputs) -> dict[str, Tensor]:
        """Encode stage after stage where any sample goes on."""
        network, active = self.network, dict[str, Tensor]()
        running = torch.ones_like(next(iter(inputs.values())).present)
        for stage, names in enumerate(network.stages):
            given, encode = [inputs[name] for name in names], partial(self._encode_all, names)
            if stage:
                running = running & (network.gates[f"stage_{stage}"]([self.known[p] for p in network.seen(stage)]) > 0)
                found = _either(running.any(), encode, partial(self._nothing, names), given)
            else:
                found = encode(given)
            active |= dict.fromkeys(names, running)
            points = [point for name in names for point in network.points_of((name,))]
            for point, values in zip(points, found, strict=True):
                self.known[point] = inputs[point.modality]._replace(values=values).only(running)
        return active

    def _encode_all(self, names: Sequence[str], given: Sequence[Feature]) -> list[Tensor]:
        """Values of the points of some modalities."""
        network = self.network
        return [feature.values for name, one in zip(names, given, strict=True)
                for feature in network.levels(name, network.points_of((name,)), one)]  # fmt: skip

    def _nothing(self, names: Sequence[str], given: Sequence[Feature]) -> list[Tensor]:
        """Zeros in their place."""
        found = []
        for name, one in zip(names, given, strict=True):
            found += [torch.zeros(*one.mask.shape, self.network.width)] * len(self.network.points_of((name,)))
        return found

    def _ask(self, step: Ask, known: dict[Source, Feature], inputs: Inputs, present: Present) -> Feature:
        network, seen = self.network, known[step.otherwise]
        wanted = network.wanted(step.node, seen, {name: present[name] for name in step.behind}, hard) > 0
        given = [inputs[one] if isinstance(one, str) else known[one] for one in step.reads]
        place = step.reads.index(step.otherwise)
        calls, names, last = self._calls(step.body), [str(one) for one in step.reads], str(NodeRef(step.node))

        def run(features: Sequence[Feature]) -> list[Tensor]:
            named = dict(zip(names, features, strict=True))
            for name, call, takes in calls:
                named[name] = call([named[one] for one in takes])
            return [named[last].values]

        def skip(features: Sequence[Feature]) -> list[Tensor]:
            return [network.passed(step.node, features[place]).values]

        operator = network.head.nodes[step.node]
        assert isinstance(operator, FusionOperator)
        if operator.sequence or any(isinstance(inner, Ask) for inner in step.body):
            # The two ways may differ in length, or hold branches themselves, which a branch may not: compute both.
            self.run(step.body, known, inputs, present)
            return choose(wanted, known[NodeRef(step.node)], network.passed(step.node, seen))
        there = torch.stack([seen.present, *(present[name] for name in step.behind)]).any(0)
        (values,) = _either(wanted.any(), run, skip, given)
        return choose(wanted, Feature(values, there.unsqueeze(-1), there), network.passed(step.node, seen))

    def _calls(self, body: Sequence[Step]) -> list[Call]:
        """A body without branches of its own as plain calls."""
        found: list[Call] = []
        for step in body:
            if isinstance(step, Encode):
                point = step.point
                before = str(Point(point.modality, point.level - 1)) if point.level else point.modality
                found.append((str(point), partial(_call, self._module(point)), [before]))
            elif isinstance(step, Fuse):
                operator = self.network.head.nodes[step.node]
                assert isinstance(operator, FusionOperator)
                takes = [str(source) for source in self.network.head.plan[step.node]]
                found.append((str(NodeRef(step.node)), partial(run_operator, operator), takes))
        return found

    def _module(self, point: Point) -> nn.Module:
        """The stem or layer that gives a point."""
        encoder = self.network.encoders[point.modality]
        assert isinstance(encoder, Encoder)
        if point.level == 0:
            return encoder.stem
        choices = encoder.layers[point.level - 1]
        assert isinstance(choices, nn.ModuleDict)
        (layer,) = choices.values()
        return layer


def _call(module: nn.Module, features: list[Feature]) -> Feature:
    found: Feature = module(features[0])
    return found


def _either(wanted: Tensor, run: Function, skip: Function, given: Sequence[Feature]) -> list[Tensor]:
    """One of two functions of features, decided when the program runs."""

    def flat(function: Function) -> Callable[..., tuple[Tensor, ...]]:
        def call(*tensors: Tensor) -> tuple[Tensor, ...]:
            features = [Feature(*tensors[i : i + 3]) for i in range(0, len(tensors), 3)]
            return tuple(values.clone() for values in function(features))

        return call

    # Copies: a view would count as an alias of what the branches give out.
    tensors = tuple(tensor.clone() for feature in given for tensor in feature)
    return list(torch.cond(wanted, flat(run), flat(skip), tensors))
