"""The curves of the benchmark ``dynamic``: score against milliseconds, one panel per set and batch size."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fusionnas.run.files import write_atomic

INK, GATED, LATE = "#1f2328", "#0969da", "#bf8700"


def write_plot(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Draw the rows of the benchmark as an SVG; every point is a mean over seeds."""
    sets = list(dict.fromkeys(row["set"] for row in rows))
    sizes = [key.removeprefix("ms_") for key in rows[0] if key.startswith("ms_")]
    with matplotlib.rc_context({"svg.hashsalt": "fusionnas", "font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=(3.4 * len(sizes), 2.7 * len(sets)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(sets), len(sizes), squeeze=False)
        for name, line in zip(sets, panels, strict=True):
            for size, axes in zip(sizes, line, strict=True):
                _panel(axes, [row for row in rows if row["set"] == name], size)
                axes.set_title(f"{name}, batch of {size}", fontsize=9)
        panels[0][0].legend(frameon=False, fontsize=8)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomic(path, buffer.getvalue())


def _panel(axes: Axes, rows: Sequence[dict[str, Any]], size: str) -> None:
    def mean(chosen: Sequence[dict[str, Any]]) -> tuple[float, float]:
        return (float(np.mean([float(row[f"ms_{size}"]) for row in chosen])),
                float(np.mean([float(row["score"]) for row in chosen])))  # fmt: skip

    weights = list(dict.fromkeys(row["cost_weight"] for row in rows if row["network"] == "gated"))
    curve = [mean([row for row in rows if row["cost_weight"] == weight]) for weight in weights]
    axes.plot(*zip(*curve, strict=True), "o-", color=GATED, label="gated, by cost weight", markersize=4)
    chosen = [row for row in rows if row.get("chosen")]
    if chosen:
        axes.plot(*mean(chosen), "o", color=GATED, fillstyle="none", markersize=10, label="chosen on select")
    for weight, (x, y) in zip(weights, curve, strict=True):
        axes.annotate(weight, (x, y), textcoords="offset points", xytext=(4, -9), fontsize=7, color=GATED)
    for label, mark, color in (("ungated", "s", INK), ("late fusion", "^", LATE)):
        axes.plot(*mean([row for row in rows if row["network"] == label]), mark, color=color, label=label)
    axes.set_xlabel("milliseconds per batch")
    axes.set_ylabel(rows[0]["metric"].replace("_", " "))
    axes.set_xlim(left=0)
    axes.spines[["top", "right"]].set_visible(False)
