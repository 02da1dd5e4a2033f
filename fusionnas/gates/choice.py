"""Which gates an architecture gets: by what they can save, as measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fusionnas.architecture import Architecture, Gates, NodeRef, Point, Source
from fusionnas.cost import Costs
from fusionnas.gates.plan import Ask, Encode, Step, behind, plan_of

WORTH = 2.0
"""A gate must be able to save so many times what asking it costs,"""
SHARE = 0.1
"""and so much of what everything costs."""
LEAVES = 0.25
"""Share of a node's cost that what is passed on leaves to be saved, where there is a choice."""
ALIKE = 1.25
"""Modalities whose costs differ by a smaller factor stay in declared order."""
MOST = 4
"""Gated nodes, at most: training looks at every combination of their decisions."""


def with_gates(architecture: Architecture, costs: Costs, level: str) -> Architecture:
    """The architecture with gates on modalities, on nodes or on both; as it is where none can save anything.

    Args:
        architecture: without gates.
        costs: measured.
        level: "none", "modality", "node" or "both".
    """
    stages = _stages(architecture, costs) if level in ("modality", "both") else ()
    nodes = _nodes(architecture, costs, encoded=bool(stages)) if level in ("node", "both") else ()
    gates = Gates(stages, nodes) if stages or nodes else None
    return replace(architecture, gates=gates)


def _stages(architecture: Architecture, costs: Costs) -> tuple[tuple[str, ...], ...]:
    """Cheap modalities first; one that costs hardly more than a gate joins the stage before it."""
    spent, worth = costs.encoders_ms(architecture), WORTH * costs.parts["gate"].latency_ms
    order = _cheap_first(architecture.modalities, spent)
    stages: list[list[str]] = [[order[0]]]
    for name in order[1:]:
        if spent[name] < worth:
            stages[-1].append(name)
        else:
            stages.append([name])
    return tuple(map(tuple, stages)) if len(stages) > 1 else ()


def _cheap_first(names: Sequence[str], spent: dict[str, float]) -> list[str]:
    left, order = list(names), list[str]()
    while left:
        cheapest = min(spent[name] for name in left)
        order.append(next(name for name in left if spent[name] <= ALIKE * cheapest))
        left.remove(order[-1])
    return order


def _nodes(architecture: Architecture, costs: Costs, *, encoded: bool) -> tuple[tuple[int, Source], ...]:
    """Nodes that are worth a gate, and the input that each passes on otherwise."""
    prices = costs.sources_ms(architecture)
    otherwise = tuple((index, _otherwise(architecture, index, prices)) for index in range(len(architecture.nodes)))
    gated = replace(architecture, gates=Gates(nodes=otherwise))
    saves = {ask.node: sum(_price(step, prices) for step in ask.body) for ask in _asks(plan_of(gated, encoded=encoded))}
    least = max(WORTH * costs.parts["gate"].latency_ms, SHARE * sum(prices.values()))
    worth = [i for i in saves if saves[i] > least]
    kept = sorted(sorted(worth, key=lambda index: -saves[index])[:MOST])
    return tuple(otherwise[index] for index in kept)


def _otherwise(architecture: Architecture, index: int, prices: dict[Source | None, float]) -> Source:
    """The input that most modalities are behind, of those that leave enough to be saved; of equals the cheapest."""
    inputs = architecture.nodes[index].inputs
    spent = {source: _whole(architecture, [source], prices) for source in inputs}
    most = (1 - LEAVES) * _whole(architecture, inputs, prices)
    known = {source: len(behind(architecture, source)) if spent[source] <= most else 0 for source in inputs}
    return min(inputs, key=lambda source: (-known[source], spent[source]))


def _whole(architecture: Architecture, sources: Sequence[Source], prices: dict[Source | None, float]) -> float:
    """Milliseconds to compute sources from the inputs."""
    seen: set[Source] = set()
    pending = [*sources]
    while pending:
        one = pending.pop()
        if one not in seen:
            seen.add(one)
            if isinstance(one, NodeRef):
                pending += architecture.nodes[one.node].inputs
            elif one.level:
                pending.append(Point(one.modality, one.level - 1))
    return sum(prices[one] for one in seen)


def _price(step: Step, prices: dict[Source | None, float]) -> float:
    if isinstance(step, Ask):
        return sum(_price(inner, prices) for inner in step.body)
    return prices[step.point if isinstance(step, Encode) else NodeRef(step.node)]


def _asks(steps: Sequence[Step]) -> list[Ask]:
    asks = [step for step in steps if isinstance(step, Ask)]
    return asks + [inner for ask in asks for inner in _asks(ask.body)]
