"""Where everything stands in a picture of an architecture: heights of lines, columns of nodes.

Every feature has a height of its own on which it runs to the right, and a node stands on the height of its result; so
no line runs through a node, and lines cross only on their way into one.
"""

from __future__ import annotations

from dataclasses import dataclass

from fusionnas.architecture import Architecture, NodeRef, Point, Source
from fusionnas.show.graph import Wire, node_columns, rows_of

LEVEL_STEP, LEVEL_SIZE, NODE_HEIGHT = 1.55, 0.56, 0.62
LANE_STEP, LINE_STEP, GAP = 1.25, 0.8, 1.15


@dataclass(frozen=True)
class Layout:
    """Places in the units of the drawing; x to the right, y upwards.

    Attributes:
        lanes: height of each modality's levels.
        heights: height of each line: of fusion points and of nodes.
        columns: per column of nodes, where the way into it begins, and its centre.
        column: column of each node.
        output: x of the word "output".
        bottom: the lowest height in use.
    """

    lanes: dict[str, float]
    heights: dict[Source, float]
    columns: list[tuple[float, float]]
    column: list[int]
    output: float
    bottom: float

    def level(self, point: Point) -> tuple[float, float]:
        """Centre of a level's box."""
        return point.level * LEVEL_STEP, self.lanes[point.modality]

    def node(self, index: int) -> tuple[float, float]:
        """Centre of a node."""
        return self.columns[self.column[index]][1], self.heights[NodeRef(index)]


def arrange(architecture: Architecture) -> Layout:
    """A place for everything."""
    rows = rows_of(architecture)
    heights: dict[Source, float] = {}
    lanes: dict[str, float] = {}
    y = LANE_STEP
    for row in rows:
        source = row[0].source
        begins_lane = isinstance(source, Point) and source.modality not in lanes
        y -= LANE_STEP if begins_lane else LINE_STEP
        if isinstance(source, Point) and begins_lane:
            lanes[source.modality] = y
        heights |= {wire.source: y for wire in row}
    column = node_columns(architecture)
    _balance(architecture, heights, [wire for row in rows for wire in row], column)
    x = max(len(layers) for _, layers in architecture.layers) * LEVEL_STEP + LEVEL_SIZE / 2 + 0.3
    columns = []
    for place in range(max(column, default=-1) + 1):
        half = max(half_width(node.operator) for node, c in zip(architecture.nodes, column, strict=True) if c == place)
        columns.append((x, x + GAP + half))
        x += GAP + 2 * half + 0.2
    return Layout(lanes, heights, columns, column, x + 0.6, min(*heights.values(), y))


def _balance(architecture: Architecture, heights: dict[Source, float], wires: list[Wire], column: list[int]) -> None:
    """Move each node to the middle of its inputs, where no other line and no other node is in the way."""
    spans = {wire.source: (-1 if wire.start < 0 else column[wire.start], _column(column, wire.end)) for wire in wires}
    for index, node in enumerate(architecture.nodes):
        own: Source = NodeRef(index)
        wanted = sum(heights[source] for source in node.inputs) / len(node.inputs)
        first, last = spans[own]
        ended = {source for source in node.inputs if spans[source][1] == first}
        others = [source for source in spans if source != own and source not in ended]
        near = [source for source in others if abs(heights[source] - wanted) < LINE_STEP - 0.05]
        if not any(spans[source][0] <= last and first <= spans[source][1] for source in near):
            heights[own] = wanted


def _column(column: list[int], index: int) -> int:
    """Column of a node; for the output, one beyond all."""
    return column[index] if index < len(column) else max(column, default=-1) + 1


def half_width(operator: str) -> float:
    """Half the width of a node with this name."""
    return 0.24 + 0.068 * len(operator)
