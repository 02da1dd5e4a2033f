"""In which order a network with node gates runs, and what belongs to the branch that a gate may skip.

Every fusion point, encoder layer and node is computed in the innermost branch that holds all who read it: what only a
skipped node needs, its other inputs with their encoders and everything before them, is skipped with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fusionnas.architecture import Architecture, NodeRef, Point, Source

Branch = tuple[int, ...]
"""Gated nodes around a place, outermost first; () = always run."""


@dataclass(frozen=True)
class Encode:
    """Compute a fusion point: level 0 from the input, any other from the level below."""

    point: Point


@dataclass(frozen=True)
class Fuse:
    """Run a node's operator."""

    node: int


@dataclass(frozen=True)
class Ask:
    """Ask a node's gate; where it says so, run ``body``, which ends with the node's operator.

    Attributes:
        node: the gated node.
        otherwise: the input that the gate sees, passed on where it says no.
        body: what is skipped then.
        reads: what the body takes from around it: features, and modalities whose input it encodes.
        behind: modalities that any other input of the node stems from.
    """

    node: int
    otherwise: Source
    body: tuple[Step, ...]
    reads: tuple[Source | str, ...]
    behind: tuple[str, ...]


Step = Encode | Fuse | Ask


def plan_of(architecture: Architecture, *, encoded: bool = False) -> tuple[Step, ...]:
    """All steps from the inputs, or from fusion points that are there already (``encoded``), to the output."""
    return _Planner(architecture, encoded).steps(())


class _Planner:
    def __init__(self, architecture: Architecture, encoded: bool) -> None:
        self.architecture, self.encoded = architecture, encoded
        gates = architecture.gates
        self.otherwise = dict(gates.nodes) if gates is not None else {}
        readers: dict[Source, list[Branch]] = {architecture.output: [()]}
        self.branch: dict[Source, Branch] = {}
        for index in reversed(range(len(architecture.nodes))):
            here = self._settle(NodeRef(index), readers)
            for source in architecture.nodes[index].inputs:
                skipped = index in self.otherwise and source != self.otherwise[index]
                readers.setdefault(source, []).append((*here, index) if skipped else here)
        for name, layers in architecture.layers:
            for level in reversed(range(len(layers) + 1)):
                here = self._settle(Point(name, level), readers)
                readers.setdefault(Point(name, level - 1), []).append(here)

    def _settle(self, source: Source, readers: dict[Source, list[Branch]]) -> Branch:
        self.branch[source] = _around(readers[source])
        return self.branch[source]

    def steps(self, branch: Branch) -> tuple[Step, ...]:
        found: list[Step] = []
        if not self.encoded:
            points = [s for s in self.branch if isinstance(s, Point) and self.branch[s] == branch]
            places = self.architecture.modalities
            found += map(Encode, sorted(points, key=lambda point: (places.index(point.modality), point.level)))
        for index in range(len(self.architecture.nodes)):
            if self.branch[NodeRef(index)] == branch:
                found.append(self._ask(index, branch) if index in self.otherwise else Fuse(index))
        return tuple(found)

    def _ask(self, index: int, branch: Branch) -> Ask:
        body = (*self.steps((*branch, index)), Fuse(index))
        given = self._reads(body) - set(_made(body))
        others = [s for s in self.architecture.nodes[index].inputs if s != self.otherwise[index]]
        stem = {name for source in others for name in behind(self.architecture, source)}
        order = self.architecture.modalities
        return Ask(index, self.otherwise[index], body, tuple(sorted(given, key=str)),
                   tuple(name for name in order if name in stem))  # fmt: skip

    def _reads(self, body: Iterable[Step]) -> set[Source | str]:
        found: set[Source | str] = set()
        for step in body:
            if isinstance(step, Encode):
                point = step.point
                found.add(Point(point.modality, point.level - 1) if point.level else point.modality)
            elif isinstance(step, Fuse):
                found |= set(self.architecture.nodes[step.node].inputs)
            else:
                found |= {step.otherwise, *step.reads}
        return found


def behind(architecture: Architecture, source: Source) -> set[str]:
    """The modalities that a source stems from."""
    if isinstance(source, Point):
        return {source.modality}
    return {name for inner in architecture.nodes[source.node].inputs for name in behind(architecture, inner)}


def _made(body: Iterable[Step]) -> Iterable[Source]:
    for step in body:
        yield step.point if isinstance(step, Encode) else NodeRef(step.node)


def _around(branches: list[Branch]) -> Branch:
    """The innermost branch that holds all."""
    shared = branches[0]
    for branch in branches[1:]:
        same = 0
        while same < min(len(shared), len(branch)) and shared[same] == branch[same]:
            same += 1
        shared = shared[:same]
    return shared
