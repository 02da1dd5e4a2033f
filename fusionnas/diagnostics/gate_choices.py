"""What each gate of the found network is worth: taken away, one at a time, so that what it may skip always runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from fusionnas.architecture import Architecture, Gates
from fusionnas.diagnostics.subject import Subject
from fusionnas.gates.network import GatedNetwork
from fusionnas.gates.spending import Spending, shares


def gate_rows(subject: Subject) -> list[dict[str, Any]]:
    """Per gate: how much better the gated network is than the one without that gate, and what each costs a sample.

    Both are trained by the run's recipe with select held out; costs are shares of running everything, on select. Empty
    where there are no gates.
    """
    gated = subject.gated
    if gated is None:
        return []
    without = dict(without_each(gated))
    subject.progress.stage("diagnose: importance, gates", len(without))
    subject.trained([gated, *without.values()])
    against = subject.versus(subject.logits(gated), {name: subject.logits(one) for name, one in without.items()})
    cost = _cost(subject, gated)
    return [
        {"gate": name, "found_is_better_by": against[name]["difference"], "low": against[name]["interval"][0],
         "high": against[name]["interval"][1], "cost": cost, "cost_without": _cost(subject, one)}
        for name, one in without.items()
    ]  # fmt: skip


def without_each(gated: Architecture) -> Iterator[tuple[str, Architecture]]:
    """By the name that the gate has in ``gates.runs``: the architecture with all others."""
    gates = gated.gates
    assert gates is not None
    for number in range(1, len(gates.stages)):
        joined = gates.stages[number - 1] + gates.stages[number]
        stages = (*gates.stages[: number - 1], joined, *gates.stages[number + 1 :])
        yield f"stage_{number}", _with(gated, Gates(stages if len(stages) > 1 else (), gates.nodes))
    for node, source in gates.nodes:
        kept = tuple(pair for pair in gates.nodes if pair != (node, source))
        yield f"node_{node}", _with(gated, Gates(gates.stages, kept))


def _with(gated: Architecture, gates: Gates) -> Architecture:
    return replace(gated, gates=gates if gates.stages or gates.nodes else None)


def _cost(subject: Subject, architecture: Architecture) -> float:
    network, costs = subject.network(architecture), subject.task.problem.costs
    if not isinstance(network, GatedNetwork):
        return 1.0
    assert costs is not None, "gates are chosen by measured costs"
    share: float = shares(network, subject.task.data.select.inputs, Spending.of(architecture, costs))["cost_share"]
    return share
