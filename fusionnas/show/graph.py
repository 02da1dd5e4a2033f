"""An architecture as a graph with places: what both drawings share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx

from fusionnas.architecture import Architecture, NodeRef, Point, Source
from fusionnas.show.svg import COLORS

OUTPUT = "output"
Vertex = Source | str


def color_of(architecture: Architecture, modality: str) -> str:
    """The modality's colour."""
    return COLORS[architecture.modalities.index(modality) % len(COLORS)]


def as_graph(architecture: Architecture) -> nx.DiGraph[Vertex]:
    """Levels, nodes and the output as vertices; edges as data flows.

    Every level up to the deepest one in use is there, since the deeper ones are computed from it.
    """
    graph: nx.DiGraph[Vertex] = nx.DiGraph()
    for name, layers in architecture.layers:
        graph.add_node(Point(name, 0))
        for level, encoder in enumerate(layers, start=1):
            graph.add_edge(Point(name, level - 1), Point(name, level), label=encoder)
    for index, node in enumerate(architecture.nodes):
        for source in node.inputs:
            graph.add_edge(source, NodeRef(index))
    graph.add_edge(architecture.output, OUTPUT)
    return graph


def node_columns(architecture: Architecture) -> list[int]:
    """Column of each node: one more than the furthest node that it reads."""
    columns: list[int] = []
    for node in architecture.nodes:
        columns.append(1 + max((columns[s.node] for s in node.inputs if isinstance(s, NodeRef)), default=-1))
    return columns


def last_use(architecture: Architecture, source: Source) -> int:
    """The last node that reads ``source``; the number of nodes where the output does."""
    readers = [index for index, node in enumerate(architecture.nodes) if source in node.inputs]
    return len(architecture.nodes) if source == architecture.output else max(readers)


@dataclass(frozen=True)
class Wire:
    """A horizontal line that carries one source to the right.

    Attributes:
        source: what it carries.
        start: the node that makes it; -1 for a fusion point.
        end: the last node that reads it; the number of nodes for the output.
    """

    source: Source
    start: int
    end: int


def rows_of(architecture: Architecture) -> list[list[Wire]]:
    """Horizontal lines from top to bottom, and what each carries from left to right.

    Fusion points come by modality, the deepest level first. A node's result goes on in the row of one of its
    inputs that ends there, the middle one of them; if none ends, in a new row.
    """
    order = {name: place for place, name in enumerate(architecture.modalities)}
    points = sorted(architecture.points(), key=lambda point: (order[point.modality], -point.level))
    rows = [[Wire(point, -1, last_use(architecture, point))] for point in points]
    for index, node in enumerate(architecture.nodes):
        read = [row for row in rows if row[-1].source in node.inputs]
        ending = [row for row in read if row[-1].end == index]
        wire = Wire(NodeRef(index), index, last_use(architecture, NodeRef(index)))
        if ending:
            _middle(ending).append(wire)
        else:
            rows.insert(rows.index(read[-1]) + 1, [wire])
    return rows


def _middle(rows: Sequence[list[Wire]]) -> list[Wire]:
    return rows[(len(rows) - 1) // 2]
