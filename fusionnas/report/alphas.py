"""How the architecture parameters evolved: one chart per decision that moved, those that moved most first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionnas.diagnostics.chart import Curves

MOST_CHARTS, MOST_CURVES = 8, 6
_STILL = 0.02  # largest change of a weight that counts as none


def alpha_charts(search: Mapping[str, Any]) -> list[Curves]:
    """Charts of weights by epoch.

    Args:
        search: the entry ``search`` of ``results.json``. ``alphas`` has per epoch and group rows of weights,
            ``choices`` what their columns are; methods that learn no alphas have neither.
    """
    history, choices = search.get("alphas", []), search.get("choices", {})
    if len(history) < 2:
        return []
    found = []
    for group, rows in history[0].items():
        for row in range(len(rows)):
            weights = [epoch[group][row] for epoch in history]
            moved = max(max(column) - min(column) for column in zip(*weights, strict=True))
            if moved > _STILL and len(weights[0]) > 1:
                found.append((moved, _chart(_title(group, row), weights, choices[group])))
    found.sort(key=lambda entry: -entry[0])
    return [chart for _, chart in found[:MOST_CHARTS]]


def _chart(title: str, weights: list[list[float]], names: list[str]) -> Curves:
    """The choices that weigh most at any time, the final winner first; the others together."""
    columns = [list(column) for column in zip(*weights, strict=True)]
    order = sorted(range(len(columns)), key=lambda i: -columns[i][-1])
    shown = order[:MOST_CURVES]
    curves: dict[str, list[float]] = {names[i]: columns[i] for i in shown}
    if rest := order[MOST_CURVES:]:
        curves["all others"] = [sum(columns[i][epoch] for i in rest) for epoch in range(len(weights))]
    return Curves(title, "epoch", "weight", [float(epoch + 1) for epoch in range(len(weights))], curves)


def _title(group: str, row: int) -> str:
    """``alpha.1``, row 0 -> ``Node 1, input slot 1``; ``gamma.0`` -> ``Node 0, operator``."""
    kind, _, rest = group.partition(".")
    words: Mapping[str, str] = {
        "alpha": f"Node {rest}, input slot {row + 1}", "gamma": f"Node {rest}, operator",
        "beta": f"{rest}, encoder of layer {row + 1}", "output": "What the readout reads",
    }  # fmt: skip
    return words.get(kind, f"{group}, row {row + 1}")
