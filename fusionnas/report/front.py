"""The block of a report about a search with several objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fusionnas.diagnostics.chart import Curves
from fusionnas.report.block import Block, Table, figure_of


def front_block(front: Mapping[str, Any] | None, prefix: str) -> Block | None:
    """What a better score costs: a curve per cost, and the table; None where there was one objective.

    Args:
        front: ``pareto`` of results.json.
        prefix: keeps keys of several runs apart.
    """
    if front is None:
        return None
    metric, *costs = front["objectives"]
    figures = []
    for cost in costs:
        steps = _steps(front["front"], cost, metric)
        if len(steps) > 1:
            chart = Curves(f"{metric} against {cost}", cost, f"{metric}, held out", list(steps),
                           {metric: list(steps.values())})  # fmt: skip
            figures.append(figure_of(chart, f"{prefix}front-{cost}"))
    rows = [{"architecture": row["architecture"], **{name: row[name] for name in front["objectives"]},
             "recommended": "yes" if row["id"] == front["recommended"] else ""} for row in front["front"]]  # fmt: skip
    text = [f"Of {front['candidates']} networks that were trained with parts held out, nothing beats these "
            f"{len(rows)} in {' and '.join(front['objectives'])} at once. Together they cover "
            f"{front['hypervolume']:.0%} of the box between the best and the worst values."]  # fmt: skip
    return Block("What a better score costs", text, figures, [Table("front", rows)])


def _steps(rows: Sequence[Mapping[str, Any]], cost: str, metric: str) -> dict[float, float]:
    """Metric by cost, in order; of equal costs the first, which has the better metric."""
    found: dict[float, float] = {}
    for row in rows:
        found.setdefault(row[cost], row[metric])
    return dict(sorted(found.items()))
