"""SearchSpace: everything that may be chosen, read from one YAML file."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import yaml

from fusionnas.architecture import Architecture, Node, NodeRef, Point, Source
from fusionnas.errors import SpaceError
from fusionnas.registry import load_plugin
from fusionnas.space.bundled import find_space, read_text
from fusionnas.space.counting import Graphs, OperatorRule, space_size
from fusionnas.space.membership import graph_problems, membership_problems
from fusionnas.space.moves import neighbours, unread
from fusionnas.space.overrides import apply_overrides
from fusionnas.space.places import suggest
from fusionnas.space.reading import Document
from fusionnas.space.schema import SpaceFile
from fusionnas.space.validate import validate


class SearchSpace:
    """A set of architectures over the modalities of a task.

    An architecture has 0 to ``fusion.nodes`` nodes. Without nodes its output is one fusion point; else the last node.
    A node reads distinct fusion points and earlier nodes, as many as ``fusion.inputs`` and its operator allow, and
    every node but the last is read by a later one; an operator that decides stands last.
    Inputs of an operator for which order does not matter are written in declared order. Each modality in use has one
    encoder per layer, up to its deepest level in use.

    Attributes:
        file: the validated sections; paths in it are absolute.
        path: the file it was read from, or None.
        folder: where that file lies, else the working directory.
        rules: by operator, what this space allows it.
    """

    def __init__(self, file: SpaceFile, *, path: Path | None = None, folder: Path | None = None) -> None:
        from fusionnas.operators.base import operators

        for plugin in file.plugins:
            load_plugin(Path(plugin))
        self.file, self.path = file, path
        self.folder = Path.cwd() if folder is None else folder
        low, high = file.fusion.inputs
        self.rules: dict[str, OperatorRule] = {}
        for name in file.fusion.operators:
            fewest, most = operators[name].inputs_range
            limit = high if most is None else min(high, most)
            self.rules[name] = OperatorRule(
                name, operators[name].ordered, max(low, fewest), limit, operators[name].decides
            )

    @classmethod
    def load(
        cls, path: str | Path, overrides: Sequence[str] = (), *, folder: Path | None = None, method: bool = True
    ) -> SearchSpace:
        """Read a space file, or a bundled space by name (``ehr`` or ``ehr.yaml``); a file on disk wins.

        Args:
            path: file or bundled name.
            overrides: ``a.b=v``, as after ``--set``; relative paths in them start from the working directory.
            folder: where relative paths in the file start from; default: where the file lies.
            method: check the name of the search method; False where a network only runs, so that nothing of
                the search is imported.

        Raises:
            SpaceError: no such file, or all that is wrong in it, each as ``file:line:column path: message``.
        """
        found = find_space(path)
        folder = found.absolute().parent if folder is None else folder
        label = str(path) if Path(path).expanduser() == found else found.name
        return cls._read(read_text(found), label, overrides, path=found.absolute(), folder=folder, method=method)

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        name: str = "<text>",
        folder: Path | None = None,
        overrides: Sequence[str] = (),
        method: bool = True,
    ) -> SearchSpace:
        """Read a space from a text; ``name`` stands for the file in messages, the rest is as for ``load``.

        Raises:
            SpaceError: all that is wrong in it.
        """
        return cls._read(text, name, overrides, folder=folder, method=method)

    @classmethod
    def _read(
        cls,
        text: str,
        label: str,
        overrides: Sequence[str],
        *,
        path: Path | None = None,
        folder: Path | None,
        method: bool,
    ) -> SearchSpace:
        document = Document(text, label)
        if document.data is None or isinstance(document.data, dict):
            apply_overrides(document, overrides)
        return cls(validate(document, folder, method=method), path=path, folder=folder)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self.file == other.file

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[object, ...]:
        # Built anew in the other process, so that plug-ins are loaded there as well.
        return _rebuild, (self.file, self.path, self.folder)

    def __repr__(self) -> str:
        return f"SearchSpace({self.name!r}, {len(self.file.modalities)} modalities, {len(self.points())} points)"

    @property
    def name(self) -> str:
        """The name that the file gives the space."""
        return self.file.name

    @property
    def summary(self) -> str:
        """Two lines: modalities, then points, nodes, operators and size."""
        groups = self.groups()
        views = len(self.file.modalities) - len(groups)
        low, high = self.file.fusion.inputs
        inputs = f"{low}" if low == high else f"{low} to {high}"
        size = self.size()
        return (
            f"{self.name}: {len(groups)} modalities ({', '.join(groups)})"
            + (f" in {len(self.file.modalities)} views" if views else "")
            + f"\n{len(self.points())} fusion points, up to {self.file.fusion.nodes} nodes of {inputs} inputs, "
            + f"{len(self.rules)} operators, {f'{size:,}' if size < 10**9 else f'{size:.1e}'} architectures"
        )

    def points(self) -> tuple[Point, ...]:
        """All fusion points: modalities in declared order, each from level 0 up."""
        return self._points

    @cached_property
    def _points(self) -> tuple[Point, ...]:
        return tuple(Point(name, level) for name, m in self.file.modalities.items() for level in range(m.levels + 1))

    @cached_property
    def _place(self) -> dict[Source, int]:
        return {point: place for place, point in enumerate(self._points)}

    def position(self, source: Source) -> int:
        """Place of a source in declared order: points first, then nodes; what is unknown comes last."""
        if isinstance(source, NodeRef):
            return len(self._points) + source.node
        return self._place.get(source, len(self._points) + self.file.fusion.nodes)

    def sources(self, node: int) -> tuple[Source, ...]:
        """All that node number ``node`` may read, in declared order."""
        return (*self._points, *map(NodeRef, range(node)))

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Modalities as people count them: each input of the data with the views of it, in declared order."""
        groups: dict[str, tuple[str, ...]] = {}
        for name in self.file.modalities:
            groups[self.source_of(name)] = (*groups.get(self.source_of(name), ()), name)
        return groups

    def source_of(self, modality: str) -> str:
        """The input of the data that ``modality`` reads."""
        return self.file.modalities[modality].source or modality

    def layer_choices(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """By modality and layer, from the first up, the encoders to choose from."""
        return {name: (m.encoder,) * m.levels for name, m in self.file.modalities.items()}

    def depths(self, nodes: Sequence[Node], output: Source) -> dict[str, int]:
        """Deepest level in use of each modality in use, in declared order."""
        deepest: dict[str, int] = {}
        for source in [s for node in nodes for s in node.inputs] + [output]:
            if isinstance(source, Point):
                deepest[source.modality] = max(source.level, deepest.get(source.modality, 0))
        return {name: deepest[name] for name in self.file.modalities if name in deepest}

    def architecture(
        self, nodes: Sequence[Node], output: Source | None = None, layers: Mapping[str, Sequence[str]] | None = None
    ) -> Architecture:
        """The architecture with these nodes, in its one canonical form.

        It must make sense over the modalities of the space, but may lie outside its limits (number of nodes and of
        inputs, operators): references such as late fusion may. ``problems`` says whether it is in the space.

        Args:
            nodes: fusion nodes; inputs are put in declared order where order does not matter.
            output: what the readout reads; default: the last node.
            layers: encoder of every layer, by modality; default: the first of the modality's list. Layers above the
                deepest level in use are left out, and so are unused modalities.

        Raises:
            SpaceError: unknown points, operators or encoders, nodes that nothing reads, too few layers.
        """
        from fusionnas.operators.base import operators

        problems = [
            f"nodes[{index}].operator: '{node.operator}' is not a fusion operator{suggest(node.operator, operators)}"
            for index, node in enumerate(nodes)
            if node.operator not in operators
        ]
        if output is None and not nodes:
            problems.append("output: needed where there is no node")
            raise SpaceError(f"not an architecture over the space '{self.name}'", problems)
        output = NodeRef(len(nodes) - 1) if output is None else output
        problems += graph_problems(self, tuple(nodes), output)
        depths = self.depths(nodes, output)
        choices = {name: self._layers(name, depth, layers) for name, depth in depths.items()}
        problems += [text for name, chosen in choices.items() for text in self._short(name, chosen, depths[name])]
        if problems:
            raise SpaceError(f"not an architecture over the space '{self.name}'", problems)
        written = (
            node
            if operators[node.operator].ordered
            else Node(tuple(sorted(node.inputs, key=self.position)), node.operator)
            for node in nodes
        )
        return Architecture(tuple(choices.items()), tuple(written), output)

    def _layers(self, name: str, depth: int, layers: Mapping[str, Sequence[str]] | None) -> tuple[str, ...]:
        if layers is not None and name in layers:
            return tuple(layers[name])[:depth]
        return self.file.modalities[name].encoder[:1] * depth

    def _short(self, name: str, chosen: tuple[str, ...], depth: int) -> Iterator[str]:
        known = self.file.modalities[name].encoder
        if len(chosen) < depth <= self.file.modalities[name].levels:
            yield f"modalities.{name}.layers: given {len(chosen)}, level {depth} is in use"
        for place, encoder in enumerate(chosen):
            if encoder not in known:
                yield f"modalities.{name}.layers[{place}]: '{encoder}' is not an encoder of it{suggest(encoder, known)}"

    def problems(self, architecture: Architecture) -> list[str]:
        """Why ``architecture`` is not in the space; empty where it is."""
        return list(membership_problems(self, architecture))

    def contains(self, architecture: Architecture) -> bool:
        """Whether ``architecture``, in canonical form, is in the space."""
        return not self.problems(architecture)

    def size(self) -> int:
        """Exact number of architectures, without listing them."""
        return self._size

    @cached_property
    def _size(self) -> int:
        modalities = {name: (m.levels, len(m.encoder)) for name, m in self.file.modalities.items()}
        return space_size(tuple(self.rules.values()), self.file.fusion.nodes, modalities)

    def graphs(self) -> int:
        """Exact number of fusion graphs: of architectures with any one choice of encoder layers."""
        return sum(self._graphs.count(nodes) for nodes in range(self.file.fusion.nodes + 1))

    @cached_property
    def _graphs(self) -> Graphs:
        return Graphs(tuple(self.rules.values()), len(self.points()))

    def sample(self, rng: random.Random, nodes: int | None = None) -> Architecture:
        """A random architecture; every one of the space can come.

        The number of nodes is uniform over those that the space has (0 among them) unless ``nodes`` gives it. Then
        each node's operator, number of inputs and inputs are uniform in turn, given that every node ends up read.
        Without nodes, the output is uniform over fusion points. Encoders are uniform per layer.

        Raises:
            SpaceError: the space has no architecture with ``nodes`` nodes.
        """
        possible = [n for n in range(self.file.fusion.nodes + 1) if self._graphs.count(n)]
        if nodes is None:
            nodes = rng.choice(possible)
        elif nodes not in possible:
            known = ", ".join(map(str, possible))
            raise SpaceError(f"the space '{self.name}' has no architecture with {nodes} nodes, only with {known}")
        chosen = self._graphs.draw(rng, nodes, self.points()) if nodes else ()
        output = NodeRef(nodes - 1) if nodes else rng.choice(self.points())
        layers = {
            name: [rng.choice(self.file.modalities[name].encoder) for _ in range(depth)]
            for name, depth in self.depths(chosen, output).items()
        }
        return self.architecture(chosen, output=output, layers=layers)

    def neighbours(self, architecture: Architecture) -> Iterator[Architecture]:
        """Architectures of the space that differ by one change, each once.

        A change replaces, drops or adds one input; exchanges two where order matters; takes another operator for a
        node; another output where there is no node; one node more or less at the end; another encoder in a layer.

        Raises:
            SpaceError: ``architecture`` is not in the space.
        """
        if problems := self.problems(architecture):
            raise SpaceError(f"the architecture is not in the space '{self.name}'", problems)
        return neighbours(self, architecture)

    def enumerate(self, layers: Mapping[str, Sequence[str]] | None = None) -> Iterator[Architecture]:
        """All architectures of the space, each once, those with few nodes first. Look at ``size`` before.

        With ``layers``, the encoder of every layer by modality, only those that use them: ``graphs`` many.
        """
        for count in range(self.file.fusion.nodes + 1):
            ends = (
                [((), point) for point in self.points()]
                if not count
                else ((nodes, NodeRef(count - 1)) for nodes in self._all_nodes(count))
            )
            for nodes, output in ends:
                depths = self.depths(nodes, output)
                each = (
                    itertools.product(self.file.modalities[n].encoder, repeat=d)
                    if layers is None
                    else [tuple(layers[n][:d])]
                    for n, d in depths.items()
                )
                for chosen in itertools.product(*each):
                    yield Architecture(tuple(zip(depths, chosen, strict=True)), nodes, output)

    def _all_nodes(self, count: int) -> Iterator[tuple[Node, ...]]:
        for nodes in itertools.product(*(tuple(self._single_nodes(i, last=i == count - 1)) for i in range(count))):
            if not unread(nodes):
                yield nodes

    def _single_nodes(self, index: int, *, last: bool) -> Iterator[Node]:
        sources = self.sources(index)
        for rule in self.rules.values():
            if rule.decides and not last:
                continue
            for inputs in rule.inputs(len(sources)):
                choose = itertools.permutations if rule.ordered else itertools.combinations
                yield from (Node(chosen, rule.name) for chosen in choose(sources, inputs))

    def to_yaml(self) -> str:
        """The space with every default written and every override applied; it loads to an equal space."""
        data = self.file.model_dump(mode="json", exclude_none=True)
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
        return f"# Written by fusionnas: every key, defaults included.\n{text}"


def _rebuild(file: SpaceFile, path: Path | None, folder: Path) -> SearchSpace:
    return SearchSpace(file, path=path, folder=folder)
