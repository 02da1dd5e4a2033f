"""Architecture: one discrete choice of everything, as plain data.

It is frozen, hashable, equal to any other with the same choices, and reads and writes the JSON that
people edit. Only what the output needs is in it: unused modalities and layers have no place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from fusionnas.errors import SpaceError
from fusionnas.feature import InputSpec, Signature

SCHEMA = 2
READABLE = (1, 2)
"""Schemas of ``architecture.json`` that can be read: 1 knows no gates."""


@dataclass(frozen=True, order=True)
class Point:
    """A fusion point: a modality's feature at one level."""

    modality: str
    level: int

    def __str__(self) -> str:
        return f"{self.modality}.{self.level}"


@dataclass(frozen=True, order=True)
class NodeRef:
    """An earlier fusion node, by its place in ``Architecture.nodes``."""

    node: int

    def __str__(self) -> str:
        return f"#{self.node}"


Source = Point | NodeRef


@dataclass(frozen=True)
class Node:
    """One fusion step: chosen inputs and chosen operator."""

    inputs: tuple[Source, ...]
    operator: str

    def __str__(self) -> str:
        return f"{self.operator}({', '.join(map(str, self.inputs))})"


@dataclass(frozen=True)
class Gates:
    """What is decided sample by sample (:mod:`fusionnas.gates`).

    Attributes:
        stages: all modalities, in groups that are run in turn: the first always, each further one if its gate asks for
            it, and none after one that was not asked for; empty: all are run.
        nodes: (node, input): the node's gate sees that input alone and passes it on, or asks for the node.
    """

    stages: tuple[tuple[str, ...], ...] = ()
    nodes: tuple[tuple[int, Source], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        nodes = [{"node": node, "otherwise": _to_json(source)} for node, source in self.nodes]
        return {"stages": [list(stage) for stage in self.stages], "nodes": nodes}

    def __str__(self) -> str:
        text = [" > ".join(" + ".join(stage) for stage in self.stages)] if self.stages else []
        return "; ".join([*text, *(f"#{node} or {source}" for node, source in self.nodes)])


@dataclass(frozen=True)
class Architecture:
    """Layers per modality, fusion nodes, and the point that the readout reads.

    Attributes:
        layers: (modality, encoder of each layer up to the deepest level in use), in declared order.
        nodes: fusion nodes, each reading fusion points and earlier nodes; empty for one modality alone.
        output: what the readout reads: the last node, or one fusion point.
        signature: input and output sizes of a trained network; no part of equality, hash or id.
        gates: what is decided sample by sample; None: every sample runs everything.
    """

    layers: tuple[tuple[str, tuple[str, ...]], ...]
    nodes: tuple[Node, ...]
    output: Source
    signature: Signature | None = field(default=None, compare=False, repr=False)
    gates: Gates | None = field(default=None, kw_only=True)

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that name the architecture in file names and tables."""
        return hashlib.sha256(json.dumps(self._choices(), sort_keys=True).encode()).hexdigest()[:8]

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that are read, in declared order."""
        return tuple(name for name, _ in self.layers)

    def points(self) -> Iterator[Point]:
        """Every fusion point that is read, once, in order of first use."""
        sources = [source for node in self.nodes for source in node.inputs] + [self.output]
        yield from dict.fromkeys(source for source in sources if isinstance(source, Point))

    def __str__(self) -> str:
        gates = "" if self.gates is None else f"; gates: {self.gates}"
        if not self.nodes:
            return f"only {self.output}{gates}"
        text = [str(self.nodes[0])]
        for index, node in enumerate(self.nodes[1:], start=1):
            text.append(f"#{index} = {node}")
        return (f"#0 = {text[0]}" if len(text) > 1 else text[0]) + "".join(f"; {t}" for t in text[1:]) + gates

    def _choices(self) -> dict[str, Any]:
        return {
            "modalities": {name: {"layers": list(layers)} for name, layers in self.layers},
            "nodes": [{"inputs": [_to_json(s) for s in n.inputs], "operator": n.operator} for n in self.nodes],
            "output": _to_json(self.output),
            **({} if self.gates is None else {"gates": self.gates.to_json()}),
        }

    def to_json(self) -> dict[str, Any]:
        """Plain data with id and the lowest schema version that can say it; the signature too where there is one."""
        data = {"schema": 1 if self.gates is None else SCHEMA, "id": self.id, **self._choices()}
        return data if self.signature is None else {**data, "signature": self.signature.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Architecture:
        """Read what ``to_json`` wrote, or what a person wrote in its form.

        Raises:
            SpaceError: a key is missing, unknown or of the wrong form; all problems at once.
        """
        problems = _problems(data)
        if problems:
            raise SpaceError("the architecture is not valid", problems)
        signature = data.get("signature")
        return cls(
            layers=tuple((name, tuple(m["layers"])) for name, m in data["modalities"].items()),
            nodes=tuple(Node(tuple(map(_source, n["inputs"])), n["operator"]) for n in data["nodes"]),
            output=_source(data["output"]) if "output" in data else NodeRef(len(data["nodes"]) - 1),
            gates=_gates(data["gates"]) if data.get("gates") is not None else None,
            signature=None if signature is None else Signature.from_json(signature),
        )


def _to_json(source: Source) -> dict[str, Any]:
    if isinstance(source, NodeRef):
        return {"node": source.node}
    return {"modality": source.modality, "level": source.level}


def _source(data: Mapping[str, Any]) -> Source:
    return NodeRef(data["node"]) if "node" in data else Point(data["modality"], data["level"])


def _gates(data: Mapping[str, Any]) -> Gates:
    nodes = tuple((entry["node"], _source(entry["otherwise"])) for entry in data.get("nodes", ()))
    return Gates(tuple(tuple(stage) for stage in data.get("stages", ())), nodes)


def _problems(data: object) -> list[str]:
    if not isinstance(data, Mapping):
        return [f"given {type(data).__name__}, expected a mapping with schema, modalities, nodes and output"]
    if data.get("schema") not in READABLE:
        known_schemas = " and ".join(map(str, READABLE))
        return [f"schema: given {data.get('schema')!r}, this version of fusionnas reads {known_schemas}"]
    known = {"schema", "id", "modalities", "nodes", "output", "signature", "gates"}
    problems = [f"{key}: unknown key; known: {', '.join(sorted(known))}" for key in data if key not in known]
    modalities, nodes = data.get("modalities"), data.get("nodes")
    if not isinstance(modalities, Mapping) or not isinstance(nodes, list):
        return [*problems, "modalities and nodes: needed, a mapping and a list"]
    for name, modality in modalities.items():
        layers = modality.get("layers") if isinstance(modality, Mapping) else None
        if not isinstance(layers, list) or not all(isinstance(layer, str) for layer in layers):
            problems.append(f"modalities.{name}.layers: needed, a list of encoder names")
    for index, node in enumerate(nodes):
        if isinstance(node, Mapping) and set(node) - {"inputs", "operator"}:
            problems.append(f"nodes[{index}]: known keys are inputs and operator, given {', '.join(map(str, node))}")
        if not isinstance(node, Mapping) or not isinstance(node.get("operator"), str):
            problems.append(f"nodes[{index}].operator: needed, an operator's name")
        elif not isinstance(node.get("inputs"), list) or len(node["inputs"]) < 2:
            problems.append(f"nodes[{index}].inputs: needed, at least two inputs")
        else:
            problems += [f"nodes[{index}].inputs[{place}]: {text}" for place, source in enumerate(node["inputs"])
                         if (text := _source_problem(source, modalities, index))]
    if "output" in data and (text := _source_problem(data["output"], modalities, len(nodes))):
        problems.append(f"output: {text}")
    elif "output" not in data and not nodes:
        problems.append("output: needed where there is no node")
    if data.get("gates") is not None and not problems:
        problems += _gate_problems(data["gates"], modalities, nodes)
    if data.get("signature") is not None and not _is_signature(data["signature"]):
        problems.append("signature: expected inputs (per modality width, tokens, vocabulary, grid) and outputs")
    return problems


def _gate_problems(data: object, modalities: Mapping[str, Any], nodes: list[Any]) -> list[str]:
    if not isinstance(data, Mapping) or set(data) - {"stages", "nodes"}:
        return ["gates: expected a mapping with stages and nodes"]
    stages, entries = data.get("stages", []), data.get("nodes", [])
    problems = []
    lists = isinstance(stages, list) and all(isinstance(stage, list) and stage for stage in stages)
    if not lists or (stages and sorted(str(name) for stage in stages for name in stage) != sorted(modalities)):
        known = ", ".join(modalities)
        problems.append(f"gates.stages: given {stages!r}, expected lists that hold each of {known} once, or nothing")
    if not isinstance(entries, list):
        return [*problems, "gates.nodes: expected a list"]
    for place, entry in enumerate(entries):
        where = f"gates.nodes[{place}]"
        if not isinstance(entry, Mapping) or set(entry) != {"node", "otherwise"}:
            problems.append(f"{where}: given {entry!r}, expected {{node: i, otherwise: one of its inputs}}")
        elif type(entry["node"]) is not int or not 0 <= entry["node"] < len(nodes):
            problems.append(f"{where}.node: {entry['node']!r} is not a node (0..{len(nodes) - 1})")
        elif entry["otherwise"] not in nodes[entry["node"]]["inputs"]:
            problems.append(f"{where}.otherwise: {entry['otherwise']!r} is not an input of node {entry['node']}")
    if not problems and len({entry["node"] for entry in entries}) < len(entries):
        problems.append("gates.nodes: a node is listed twice")
    return problems


def _is_signature(data: object) -> bool:
    known = {spec_field.name for spec_field in fields(InputSpec)}
    if not isinstance(data, Mapping) or not isinstance(data.get("inputs"), dict):
        return False
    specs = data["inputs"].values()
    return isinstance(data.get("outputs"), int) and all(
        isinstance(spec, Mapping) and "width" in spec and set(spec) <= known for spec in specs
    )


def _source_problem(source: object, modalities: Mapping[str, Any], nodes_before: int) -> str:
    if isinstance(source, Mapping) and set(source) == {"node"}:
        if type(source["node"]) is int and 0 <= source["node"] < nodes_before:
            return ""
        return f"node {source['node']!r} is not an earlier node (0..{nodes_before - 1})"
    if isinstance(source, Mapping) and set(source) == {"modality", "level"}:
        name, level = source["modality"], source["level"]
        if not isinstance(name, str) or name not in modalities:
            return f"modality {name!r} is not listed under modalities"
        layers = modalities[name].get("layers") if isinstance(modalities[name], Mapping) else None
        if isinstance(layers, list) and type(level) is int and 0 <= level <= len(layers):
            return ""
        highest = len(layers) if isinstance(layers, list) else 0
        return f"level {level!r} of {name!r} is not among its layers (0..{highest})"
    return f"given {source!r}, expected {{node: i}} or {{modality: name, level: l}}"
