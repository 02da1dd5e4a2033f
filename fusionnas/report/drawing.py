"""Charts drawn: curves, values with intervals, shades. Nothing is told by colour alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from fusionnas.diagnostics.chart import Chart, Curves, Intervals, Shades
from fusionnas.show.svg import COLORS, INK, LINE

WIDTH = 4.7  # inches; what a phone shows without making letters too small
DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_SHADE = LinearSegmentedColormap.from_list("shade", ["#f4f6f8", "#0b4f7d"])


def draw(chart: Chart) -> Figure:
    """The chart as a figure of fixed width."""
    if isinstance(chart, Curves):
        return _curves(chart)
    return _intervals(chart) if isinstance(chart, Intervals) else _shades(chart)


def in_words(chart: Chart) -> str:
    """What the figure shows, for those who do not see it."""
    if isinstance(chart, Curves):
        each = [f"{name} from {number(_ends(y)[0])} to {number(_ends(y)[1])}" for name, y in chart.y.items()]
        return f"{chart.title}: {chart.y_label} over {chart.x_label}; {'; '.join(each)}."
    if isinstance(chart, Intervals):
        rows = zip(chart.labels, chart.values, chart.low, chart.high, strict=True)
        each = [f"{label} {number(v)}" + (f" ({number(a)} to {number(b)})" if a is not None else "")
                for label, v, a, b in rows]  # fmt: skip
        return f"{chart.title}: {chart.x_label}; {'; '.join(each)}."
    lines = zip(chart.row_names, chart.values, strict=True)
    each = [f"{name}: " + ", ".join(f"{column} {number(value)}" for column, value in
            zip(chart.column_names, line, strict=True) if value is not None) for name, line in lines]  # fmt: skip
    return f"{chart.title}: {chart.unit}; {'; '.join(each)}."


def number(value: float | None) -> str:
    """A number as people read it; empty where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "none"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _ends(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    known = [value for value in values if value is not None]
    return (known[0], known[-1]) if known else (None, None)


def _frame(height: float, left: float, bottom: float, right: float = 0.12) -> tuple[Figure, Axes]:
    """A figure of ``height`` inches; the other numbers are margins in inches."""
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((left / WIDTH, bottom / height, 1 - (left + right) / WIDTH, 1 - (bottom + 0.1) / height))
    axes.set_facecolor("none")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(LINE)
    axes.tick_params(colors=LINE, labelcolor=INK, labelsize=9)
    return figure, axes


def _curves(chart: Curves) -> Figure:
    legend = 0.19 * math.ceil(len(chart.y) / 2) + 0.05 if len(chart.y) > 1 else 0.0
    figure, axes = _frame(2.5 + legend, 0.62, 0.48)
    height = figure.get_figheight()
    axes.set_position((0.62 / WIDTH, 0.48 / height, 1 - 0.74 / WIDTH, 1 - (0.58 + legend) / height))
    many = len(chart.x) > 12
    styles = zip(itertools.cycle(COLORS), itertools.cycle(MARKERS), itertools.cycle(DASHES), strict=False)
    for (name, values), (color, marker, dash) in zip(chart.y.items(), styles, strict=False):
        known = [(x, y) for x, y in zip(chart.x, values, strict=True) if y is not None]
        if name in chart.bands:
            low, high = chart.bands[name]
            axes.fill_between(chart.x, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(*zip(*known, strict=True), color=color, linestyle=dash, marker=marker, markersize=4,
                  markevery=max(1, len(known) // 8) if many else 1, linewidth=1.6, label=name)  # fmt: skip
    if all(float(x).is_integer() for x in chart.x):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(chart.x_label, fontsize=9, color=INK)
    axes.set_ylabel(chart.y_label, fontsize=9, color=INK)
    axes.grid(axis="y", color=LINE, alpha=0.2, linewidth=0.6)
    if legend:
        figure.legend(loc="upper left", bbox_to_anchor=(0.1, 1.0), ncols=2, fontsize=9, frameon=False, labelcolor=INK,
                      handlelength=2.6, borderaxespad=0.1, columnspacing=1.2)  # fmt: skip
    return figure


def _intervals(chart: Intervals) -> Figure:
    longest = max((len(label) for label in chart.labels), default=0)
    left = min(0.25 + 0.075 * longest, WIDTH * 0.48)
    figure, axes = _frame(0.29 * len(chart.labels) + 0.72, left, 0.5, right=0.62)
    places = range(len(chart.labels))
    if chart.reference is not None:
        axes.axvline(chart.reference, color=LINE, linewidth=1, zorder=1)
    for place, value, low, high in zip(places, chart.values, chart.low, chart.high, strict=True):
        if value is None:
            axes.text(0, place, "none", fontsize=8.5, color=LINE, va="center")
            continue
        clear = low is None or chart.reference is None or low > chart.reference or (high or 0) < chart.reference
        below = chart.reference is not None and clear and value < chart.reference
        if low is None and chart.reference is None:
            axes.plot([0, value], [place, place], color=COLORS[0], linewidth=1.8, zorder=2)
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color=COLORS[0], linewidth=1.8, zorder=2)
        axes.plot([value], [place], marker="s" if below else "o", markersize=6, zorder=3, color=COLORS[0],
                  markerfacecolor=COLORS[0] if clear else "#ffffff", markeredgewidth=1.5)  # fmt: skip
        axes.annotate(_signed(value, chart.reference), (1.02, place), xycoords=("axes fraction", "data"), fontsize=8.5,
                      color=INK, va="center")  # fmt: skip
    axes.set_yticks(list(places), [_short(label, 34) for label in chart.labels])
    axes.set_ylim(len(chart.labels) - 0.4, -0.6)
    axes.margins(x=0.06)
    if chart.reference is None and all(low is None for low in chart.low):
        axes.set_xlim(left=0)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(_short(chart.x_label, 62), fontsize=9, color=INK, loc="right")
    axes.grid(axis="y", color=LINE, alpha=0.15, linewidth=0.6)
    return figure


def _signed(value: float, reference: float | None) -> str:
    return f"{value:+.3f}" if reference is not None and abs(value) < 100 else number(value)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _shades(chart: Shades) -> Figure:
    longest = max((len(name) for name in chart.row_names), default=0)
    left, count = min(0.3 + 0.075 * longest, WIDTH * 0.45), len(chart.row_names)
    wide = (WIDTH - left - 0.12) / max(len(chart.column_names), 1)
    slanted = any(len(name) * 0.075 > wide for name in chart.column_names)
    # A slanted name ends beyond its column: the last one needs room on the right.
    right = 0.12 + (max(0.0, 0.07 * len(chart.column_names[-1]) - wide / 2) if slanted else 0.0)
    top = 0.2 + (0.055 * max(map(len, chart.column_names)) if slanted else 0.05)
    figure, axes = _frame(0.3 * count + 0.4 + top, left, 0.3)
    height = figure.get_figheight()
    axes.set_position((left / WIDTH, 0.3 / height, 1 - (left + right) / WIDTH, 0.3 * count / height))
    known = [value for line in chart.values for value in line if value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    for row, line in enumerate(chart.values):
        for column, value in enumerate(line):
            if value is not None:
                _cell(axes, (column, row), value, (value - low) / (high - low) if high > low else 0.0, wide)
    axes.set_xlim(-0.5, len(chart.column_names) - 0.5)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_yticks(range(count), [_short(name, 30) for name in chart.row_names])
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(chart.column_names)), list(chart.column_names))
    if slanted:
        for label in axes.get_xticklabels():
            label.set(rotation=35, ha="left")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    told = f"{chart.unit}; rows: {chart.rows_label}, columns: {chart.columns_label}"
    figure.text(1 - 0.12 / WIDTH, 0.08 / height, told, fontsize=8, color=INK, ha="right")
    return figure


def _cell(axes: Axes, place: tuple[int, int], value: float, share: float, wide: float) -> None:
    column, row = place
    axes.add_patch(Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, color=to_hex(_SHADE(share)), linewidth=0))
    if wide > 0.3:
        # Not the page's ink: the cell keeps its shade when the page turns dark.
        ink = "#fffffe" if share > 0.5 else "#010101"
        axes.text(column, row, f"{value:.2g}", ha="center", va="center", fontsize=8.5, color=ink)
