"""Reference architectures of a space: each modality alone, early and late fusion, every fixed operator.

They are contestants of the search and baselines of its result. Views of one source count as one modality.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fusionnas.architecture import Architecture, Node, NodeRef, Point
from fusionnas.operators import operators

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

Layers = dict[str, tuple[str, ...]]


def top(space: SearchSpace, modality: str) -> Point:
    """The modality's top level."""
    return Point(modality, space.file.modalities[modality].levels)


def alone(space: SearchSpace, layers: Layers) -> dict[str, Architecture]:
    """Each modality alone; its views, where it has several, added at their top levels."""
    found = {}
    for source in space.groups():
        found[f"only {source}"] = over(space, [source], "additive", layers)
    return found


def early(space: SearchSpace, layers: Layers) -> Architecture:
    """Early fusion: all modalities at level 0, joined by one operator that mixes them (mlp)."""
    return _fuse(space, [Point(name, 0) for name in space.file.modalities], "mlp", layers)


def late(space: SearchSpace, layers: Layers) -> Architecture:
    """Late fusion: the sum of one linear readout per modality's top level (additive)."""
    return fixed(space, "additive", layers)


def fixed(space: SearchSpace, operator: str, layers: Layers) -> Architecture:
    """One operator over all modalities' top levels; in a chain where it takes fewer inputs."""
    return _fuse(space, [top(space, name) for name in space.file.modalities], operator, layers)


def over(space: SearchSpace, sources: Sequence[str], operator: str, layers: Layers) -> Architecture:
    """One operator over the top levels of some modalities, all their views."""
    points = [top(space, view) for source in sources for view in space.groups()[source]]
    return _fuse(space, sorted(points, key=space.position), operator, layers)


def single_points(space: SearchSpace, layers: Layers) -> list[Architecture]:
    """Every fusion point read out directly."""
    return [space.architecture([], output=point, layers=layers) for point in space.points()]


def named(space: SearchSpace, layers: Layers) -> dict[str, Architecture]:
    """All references by the name that they have in results; fixed operators that equal late fusion once.

    An operator that needs more inputs than a chain over all modalities can give it has no fixed reference.
    """
    found = alone(space, layers)
    if len(space.file.modalities) > 1:
        found |= {"early fusion": early(space, layers), "late fusion": late(space, layers)}
        for name in filter(lambda name: _chains(name, len(space.file.modalities)), space.file.fusion.operators):
            found.setdefault(f"fixed {name}", fixed(space, name, layers))
    distinct: dict[Architecture, str] = {}
    for name, architecture in found.items():
        distinct.setdefault(architecture, name)
    return {name: architecture for architecture, name in distinct.items()}


def sources(space: SearchSpace, architecture: Architecture) -> tuple[str, ...]:
    """The modalities that an architecture reads, views of one source once, in declared order."""
    read = {space.source_of(name) for name in architecture.modalities}
    return tuple(source for source in space.groups() if source in read)


def competes(space: SearchSpace, architecture: Architecture) -> bool:
    """Whether a search may end with it: it is in the space, or it is one modality alone.

    References that the space does not allow (more inputs than ``fusion.inputs``, an operator that is not listed) are
    baselines of the result, not answers to the question.
    """
    return space.contains(architecture) or len(sources(space, architecture)) == 1


def _chains(operator: str, points: int) -> bool:
    """Whether every node of ``_fuse``'s chain gets as many inputs as the operator needs."""
    fewest, limit = operators[operator].inputs_range
    most = limit or points
    left = max(points - most, 0)
    last = min(points, most) if not left else (left - 1) % (most - 1) + 2
    return last >= fewest


def _fuse(space: SearchSpace, points: Sequence[Point], operator: str, layers: Layers) -> Architecture:
    if len(points) == 1:
        return space.architecture([], output=points[0], layers=layers)
    most = operators[operator].inputs_range[1] or len(points)
    nodes = [Node(tuple(points[:most]), operator)]
    for first in range(most, len(points), most - 1):
        nodes.append(Node((NodeRef(len(nodes) - 1), *points[first : first + most - 1]), operator))
    return space.architecture(nodes, layers=layers)
