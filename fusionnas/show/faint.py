"""The faint part of a picture: runner-up choices, and lanes of modalities that are not read."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from fusionnas.architecture import Architecture, Point
from fusionnas.show.alternatives import Alternatives
from fusionnas.show.layout import LEVEL_SIZE, LEVEL_STEP, NODE_HEIGHT, Layout, half_width
from fusionnas.show.svg import LINE

FAINT_STEP = 0.95
_DASHED = (0, (3, 2))


def draw_faint(axes: Axes, architecture: Architecture, layout: Layout, alternatives: Alternatives) -> None:
    """Runner-up operators under their nodes, runner-up inputs as dashed lines or words, lanes that are not read."""
    for index, operator in alternatives.operators.items():
        x, y = layout.node(index)
        axes.text(x, y - NODE_HEIGHT / 2 - 0.06, f"or {operator}", ha="center", va="top", fontsize=7.5, color=LINE)
    for (index, source), instead in alternatives.inputs.items():
        _input(axes, architecture, layout, (index, source, instead))
    y = layout.bottom - 0.2
    for name, layers in alternatives.unread.items():
        y -= FAINT_STEP
        axes.text(-0.62, y, name, ha="right", va="center", fontsize=11, color=LINE)
        for level in range(len(layers) + 1):
            x = level * LEVEL_STEP
            _box(axes, x, y)
            axes.text(x, y, str(level), ha="center", va="center", fontsize=9, color=LINE)
            if level < len(layers):
                axes.plot([x + LEVEL_SIZE / 2, x + LEVEL_STEP - LEVEL_SIZE / 2], [y, y], color=LINE, linestyle=_DASHED,
                          linewidth=0.9)  # fmt: skip
        axes.text(len(layers) * LEVEL_STEP + 0.42, y, "not read", ha="left", va="center", fontsize=8, color=LINE)


def _input(axes: Axes, architecture: Architecture, layout: Layout, choice: tuple[int, str, str]) -> None:
    """A runner-up input: a dashed line where its level is in the picture, and a word under the one it stands for."""
    index, source, instead = choice
    points = {str(point): point for point in _drawn(architecture)}
    if source in points:
        x, y = layout.level(points[source])
        axes.text(x + 0.04, y - LEVEL_SIZE / 2 - 0.03, f"#{index}: or {instead}", ha="center", va="top", fontsize=6.5,
                  color=LINE, zorder=5)  # fmt: skip
    if instead in points:
        (x0, y0), (x1, y1) = layout.level(points[instead]), layout.node(index)
        end = x1 - half_width(architecture.nodes[index].operator)
        axes.plot([x0 + LEVEL_SIZE / 2, end], [y0 - 0.12, y1 - 0.2], color=LINE, linestyle=_DASHED, linewidth=0.9,
                  alpha=0.7, zorder=1)  # fmt: skip


def _drawn(architecture: Architecture) -> list[Point]:
    return [Point(name, level) for name, layers in architecture.layers for level in range(len(layers) + 1)]


def _box(axes: Axes, x: float, y: float) -> None:
    corner, size = (x - LEVEL_SIZE / 2, y - LEVEL_SIZE / 2), LEVEL_SIZE
    axes.add_patch(FancyBboxPatch(corner, size, size, boxstyle="round,pad=0,rounding_size=0.14", facecolor="none",
                                  edgecolor=LINE, linestyle=_DASHED, linewidth=0.9, zorder=2))  # fmt: skip
