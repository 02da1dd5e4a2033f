"""An architecture as a picture: modalities as lanes, levels and nodes as columns. Readable without colours."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve

from fusionnas.architecture import Architecture, NodeRef, Point, Source
from fusionnas.errors import InputError
from fusionnas.run.files import write_atomic
from fusionnas.show.alternatives import NONE, Alternatives
from fusionnas.show.faint import FAINT_STEP, draw_faint
from fusionnas.show.graph import Vertex, as_graph, color_of
from fusionnas.show.layout import LEVEL_SIZE, LEVEL_STEP, NODE_HEIGHT, Layout, arrange, half_width
from fusionnas.show.svg import CARD, INK, LINE, PALE, described, rendered

FORMATS = (".svg", ".png", ".pdf")
Spot = tuple[float, float]
INCH = 0.62
"""Inches per unit of the drawing."""


def write_picture(architecture: Architecture, path: Path, alternatives: Alternatives = NONE) -> None:
    """Draw into a ``.svg``, ``.png`` or ``.pdf`` file; an SVG carries a title and a description for screen readers.

    Raises:
        InputError: another ending. RunError: the file cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: a picture ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    write_atomic(path, picture(architecture, path.suffix.lower()[1:], alternatives))


def picture(architecture: Architecture, form: str, alternatives: Alternatives = NONE) -> bytes:
    """The drawing as the bytes of a file; equal architectures give equal bytes for ``svg`` and ``png``."""
    data = rendered(draw_figure(architecture, alternatives), form)
    title, words = f"Fusion architecture {architecture.id}", in_words(architecture, alternatives)
    return described(data.decode(), title, words).encode() if form == "svg" else data


def in_words(architecture: Architecture, alternatives: Alternatives = NONE) -> str:
    """What the drawing shows, for those who do not see it."""
    lanes = "; ".join(
        f"{name} with {len(layers)} encoder layers" + (f" ({', '.join(layers)})" if layers else "")
        for name, layers in architecture.layers
    )
    other = [f"{name} is not read" for name in alternatives.unread]
    other += [f"runner-up of #{node}: {operator}" for node, operator in alternatives.operators.items()]
    other += [f"runner-up of {source} in #{node}: {point}" for (node, source), point in alternatives.inputs.items()]
    other += [f"gate {name} goes on for {share:.0%}" for name, share in alternatives.gates.items()]
    return f"{lanes}. {architecture}" + (f". {'; '.join(other)}" if other else "")


def draw_figure(architecture: Architecture, alternatives: Alternatives = NONE) -> Figure:
    """The drawing as a matplotlib figure; runner-up choices and what is not read are faint."""
    layout = arrange(architecture)
    names, unread = [*architecture.modalities, *alternatives.unread], len(alternatives.unread)
    gate = max((len(_gate(architecture, name, alternatives)) for name in architecture.modalities), default=0)
    left = -0.75 - max(0.145 * max(map(len, names)), 0.1 * gate)
    right, bottom, top = layout.output + 1.05, layout.bottom - 0.65 - unread * FAINT_STEP, 1.35
    deepest = max((len(layers) for layers in alternatives.unread.values()), default=0)
    right = max(right, deepest * LEVEL_STEP + 1.0)
    figure = Figure(figsize=((right - left) * INCH, (top - bottom) * INCH))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_axis_off()
    axes.text(left + 0.15, 1.12, f"architecture {architecture.id}", ha="left", va="center", fontsize=9, color=LINE)
    _lanes(axes, architecture, layout, alternatives)
    draw_faint(axes, architecture, layout, alternatives)
    for source, target, data in as_graph(architecture).edges(data=True):
        assert not isinstance(source, str), "nothing follows the output"
        color = color_of(architecture, source.modality) if isinstance(source, Point) else INK
        if isinstance(source, Point) and isinstance(target, Point):
            _encoder(axes, layout.level(source), layout.level(target), data["label"], color)
        else:
            _arrow(axes, _way(architecture, layout, source, target), color)
    for index, node in enumerate(architecture.nodes):
        x, y = layout.node(index)
        _box(axes, (x, y), (2 * half_width(node.operator), NODE_HEIGHT), face=CARD, edge=INK, rounding=0.3)
        axes.text(x, y, node.operator, ha="center", va="center", fontsize=9.5, color=INK, zorder=4)
        if architecture.gates is not None and index in dict(architecture.gates.nodes):
            otherwise = dict(architecture.gates.nodes)[index]
            told = f"gate{alternatives.share(f'node_{index}')}: or {otherwise}"
            axes.text(x, y + NODE_HEIGHT / 2 + 0.06, told, ha="center", va="bottom", fontsize=7.5, color=LINE,
                      zorder=4)  # fmt: skip
    end = layout.heights[architecture.output]
    axes.text(layout.output + 0.1, end, "output", ha="left", va="center", fontsize=10, fontweight="bold", color=INK)
    return figure


def _lanes(axes: Axes, architecture: Architecture, layout: Layout, known: Alternatives) -> None:
    used = set(architecture.points())
    for name, layers in architecture.layers:
        y, color = layout.lanes[name], color_of(architecture, name)
        lane = FancyBboxPatch((-0.45, y - 0.42), len(layers) * LEVEL_STEP + 0.9, 0.84, zorder=0, facecolor=color,
                              boxstyle="round,pad=0,rounding_size=0.3", alpha=0.10, edgecolor="none")  # fmt: skip
        axes.add_patch(lane)
        axes.text(-0.62, y, name, ha="right", va="center", fontsize=11, fontweight="bold", color=INK)
        told = _gate(architecture, name, known)
        axes.text(-0.62, y - 0.24, told, ha="right", va="center", fontsize=7.5, color=LINE)
        for level in range(len(layers) + 1):
            filled = Point(name, level) in used
            x = level * LEVEL_STEP
            _box(axes, (x, y), (LEVEL_SIZE, LEVEL_SIZE), face=color if filled else PALE, edge=color, rounding=0.14)
            axes.text(x, y, str(level), ha="center", va="center", fontsize=10, zorder=4,
                      color=_readable(color) if filled else INK, fontweight="bold" if filled else "normal")  # fmt: skip
    for level in range(max(len(layers) for _, layers in architecture.layers) + 1):
        axes.text(level * LEVEL_STEP, 0.68, f"level {level}", ha="center", va="center", fontsize=8, color=LINE)


def _gate(architecture: Architecture, modality: str, known: Alternatives) -> str:
    """Which gate asks for a modality, and how often; empty where none does."""
    stages = architecture.gates.stages if architecture.gates is not None else ()
    number = next((number for number, stage in enumerate(stages) if modality in stage), 0)
    return f"gate {number}{known.share(f'stage_{number}')}" if number else ""


def _encoder(axes: Axes, start: Spot, end: Spot, name: str, color: str) -> None:
    _arrow(axes, [(start[0] + LEVEL_SIZE / 2, start[1]), (end[0] - LEVEL_SIZE / 2, end[1])], color)
    axes.text((start[0] + end[0]) / 2, start[1] + 0.12, name, ha="center", va="bottom", fontsize=8, color=INK)


def _way(architecture: Architecture, layout: Layout, source: Source, target: Vertex) -> list[Spot]:
    """Way points of a feature: out of its box, along its own height, into its reader."""
    y = layout.heights[source]
    if isinstance(source, Point):
        x, lane = layout.level(source)
        way = [(x + LEVEL_SIZE / 2, y)] if y == lane else [(x, lane - LEVEL_SIZE / 2), (x, y)]
    else:
        x, _ = layout.node(source.node)
        way = [(x + half_width(architecture.nodes[source.node].operator), y)]
    if not isinstance(target, NodeRef):
        return [*way, (layout.output, y)]
    node = architecture.nodes[target.node]
    begin, centre = layout.columns[layout.column[target.node]]
    ordered = sorted(node.inputs, key=lambda one: -layout.heights[one])
    port = (len(ordered) - 1) / 2 - ordered.index(source)
    pitch = min(0.18, (NODE_HEIGHT - 0.2) / (len(ordered) - 1))
    entry = (centre - half_width(node.operator), layout.heights[target] + port * pitch)
    return [*way, (max(begin, way[-1][0]), y), entry]


def _arrow(axes: Axes, way: list[Spot], color: str) -> None:
    """A line along the way points, its last piece an S-curve, with an arrow head."""
    (x0, y0), (x1, y1) = way[-2], way[-1]
    tip = x1 - 0.12
    bend = (x0 + tip) / 2
    points = [*way[:-1], (bend, y0), (bend, y1), (tip, y1)]
    codes = [Curve.MOVETO, *[Curve.LINETO] * (len(way) - 2), *[Curve.CURVE4] * 3]
    axes.add_patch(PathPatch(Curve(points, codes), facecolor="none", edgecolor=color, linewidth=1.6, capstyle="butt",
                             joinstyle="round", zorder=1))  # fmt: skip
    head = Curve([(x1, y1), (x1 - 0.17, y1 + 0.085), (x1 - 0.17, y1 - 0.085), (x1, y1)],
                 [Curve.MOVETO, Curve.LINETO, Curve.LINETO, Curve.CLOSEPOLY])  # fmt: skip
    axes.add_patch(PathPatch(head, facecolor=color, edgecolor="none", zorder=2))


def _box(axes: Axes, centre: Spot, size: Spot, *, face: str, edge: str, rounding: float) -> None:
    corner = (centre[0] - size[0] / 2, centre[1] - size[1] / 2)
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=f"round,pad=0,rounding_size={rounding}", facecolor=face,
                                  edgecolor=edge, linewidth=1.5, zorder=3))  # fmt: skip


def _readable(color: str) -> str:
    """Black or white, whichever stands out more on ``color`` (luminance of WCAG 2)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#ffffff" if (1.05) / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "#000000"
