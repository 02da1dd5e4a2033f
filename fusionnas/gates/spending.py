"""What a sample spends under its gates' decisions, as a share of what running everything costs; differentiable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fusionnas.architecture import Architecture, NodeRef, Point, Source
from fusionnas.cost import Costs
from fusionnas.feature import Feature
from fusionnas.gates.gate import hard
from fusionnas.gates.network import GatedNetwork


@dataclass(frozen=True)
class Spending:
    """Shares of the whole cost, measured (:mod:`fusionnas.cost`).

    Attributes:
        architecture: with gates.
        sources: of each fusion point from the level below and of each node from its inputs.
        gate: of asking one gate.
        rest: of what runs in any case.
    """

    architecture: Architecture
    sources: Mapping[Source, float]
    gate: float
    rest: float

    @classmethod
    def of(cls, architecture: Architecture, costs: Costs) -> Spending:
        """Shares of milliseconds as measured, gates' own cost on top."""
        parts = costs.sources_ms(architecture)
        whole = sum(parts.values())
        sources = {source: spent / whole for source, spent in parts.items() if source is not None}
        return cls(architecture, sources, costs.parts["gate"].latency_ms / whole, parts[None] / whole)

    def __call__(self, decisions: Mapping[str, Tensor], inputs: Mapping[str, Feature]) -> Tensor:
        """Decisions (B,) by gate, 1 = went on -> (B,). A modality that a sample lacks costs it nothing."""
        gates = self.architecture.gates
        assert gates is not None
        one = torch.ones_like(next(iter(inputs.values())).present, dtype=torch.float32)
        need: dict[Source, Tensor] = {self.architecture.output: one}
        spent = self.rest * one
        otherwise = dict(gates.nodes)
        for index in reversed(range(len(self.architecture.nodes))):
            asked = need[NodeRef(index)]
            run = asked * decisions[f"node_{index}"] if index in otherwise else asked
            spent = spent + self.sources[NodeRef(index)] * run + self.gate * asked * (index in otherwise)
            for source in self.architecture.nodes[index].inputs:
                _need(need, source, asked if source == otherwise.get(index) else run)
        if gates.stages:
            return spent + self._stages(decisions, inputs, one)
        for name, layers in self.architecture.layers:
            for level in reversed(range(len(layers) + 1)):
                point = Point(name, level)
                spent = spent + self.sources[point] * need[point] * inputs[name].present
                if level:
                    _need(need, Point(name, level - 1), need[point])
        return spent

    def _stages(self, decisions: Mapping[str, Tensor], inputs: Mapping[str, Feature], one: Tensor) -> Tensor:
        gates = self.architecture.gates
        assert gates is not None
        spent, running = torch.zeros_like(one), one
        for stage, names in enumerate(gates.stages):
            if stage:
                spent = spent + self.gate * running
                running = running * decisions[f"stage_{stage}"]
            for name in names:
                share = sum(self.sources[p] for p in self.sources if isinstance(p, Point) and p.modality == name)
                spent = spent + share * running * inputs[name].present
        return spent


def _need(need: dict[Source, Tensor], source: Source, more: Tensor) -> None:
    """Needed by one more reader: probability that any of them needs it."""
    need[source] = 1 - (1 - need[source]) * (1 - more) if source in need else more


@torch.no_grad()
def shares(network: GatedNetwork, inputs: Mapping[str, Feature], spending: Spending) -> dict[str, Any]:
    """How often each gate goes on, and the mean cost of a sample as a share of running everything."""
    decisions = network.eval().decided(network.encode(inputs), inputs, hard).decisions
    asked: dict[str, Tensor] = {name: value.float().mean() for name, value in decisions.items()}
    return {"runs": {name: float(value) for name, value in asked.items()},
            "cost_share": float(spending(decisions, inputs).mean())}  # fmt: skip
