"""What a run knows beside its architecture: runner-up choices, what is not read, how often each gate goes on.

A runner-up differs from the found architecture in one choice alone. ``fusionnas diagnose`` measures them; before that,
they are the best of the candidates that the search has scored, or the second largest alphas.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusionnas.architecture import Architecture
from fusionnas.space import SearchSpace

Graph = tuple[tuple[str, frozenset[str]], ...]
"""Operator and inputs of every node, by their names."""


@dataclass(frozen=True)
class Alternatives:
    """What else there was, and what is chosen sample by sample.

    Attributes:
        operators: by node, the runner-up operator.
        inputs: by node and input, what would stand in its place, ``"nothing"`` included.
        unread: modalities that are not read, with the encoders of their layers.
        source: where runner-ups come from, in words; empty where none is known.
        gates: by gate (``stage_1``, ``node_0``), the share of held-out samples for which it goes on.
    """

    operators: Mapping[int, str] = field(default_factory=dict)
    inputs: Mapping[tuple[int, str], str] = field(default_factory=dict)
    unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: str = ""
    gates: Mapping[str, float] = field(default_factory=dict)

    def share(self, gate: str) -> str:
        """`` (37%)`` where it is known how often a gate goes on, else nothing."""
        return f" ({self.gates[gate]:.0%})" if gate in self.gates else ""


NONE = Alternatives()


def read_alternatives(folder: Path, architecture: Architecture) -> Alternatives:
    """What the folder of a run knows of other choices; nothing for exports and files, which know none."""
    if not (folder / "results.json").is_file() or not (folder / "space.yaml").is_file():
        return NONE
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    gates = (results.get("gates") or {}).get("runs", {})
    unread = _unread(SearchSpace.load(folder / "space.yaml", method=False), results, architecture)
    measured = folder / "diagnostics" / "importance.json"
    if measured.is_file():
        rows = json.loads(measured.read_text(encoding="utf-8"))["tables"].get("runners_up", [])
        operators = {row["node"]: row["instead"] for row in rows if row["place"] == "operator"}
        inputs = {(row["node"], row["input"]): row["instead"] for row in rows if row["place"] == "input"}
        return Alternatives(operators, inputs, unread, "trained in its place by fusionnas diagnose", gates)
    found = _found(architecture)
    operators, inputs = _from_candidates(found, results)
    if operators or inputs:
        source = "best candidates of the search that differ in this choice alone"
        return Alternatives(operators, inputs, unread, source, gates)
    operators = _from_alphas(found, results.get("search", {}))
    return Alternatives(operators, {}, unread, "second largest alphas" if operators else "", gates)


def _unread(space: SearchSpace, results: Mapping[str, Any], architecture: Architecture) -> dict[str, tuple[str, ...]]:
    layers = results.get("search", {}).get("layers", {})
    return {
        name: tuple(layers.get(name, modality.encoder[:1] * modality.levels))
        for name, modality in space.file.modalities.items()
        if name not in architecture.modalities
    }


def _found(architecture: Architecture) -> Graph:
    return tuple((node.operator, frozenset(map(str, node.inputs))) for node in architecture.nodes)


def _from_candidates(found: Graph, results: Mapping[str, Any]) -> tuple[dict[int, str], dict[tuple[int, str], str]]:
    """The best candidate per choice; those trained end to end count before heads."""
    operators: dict[int, str] = {}
    inputs: dict[tuple[int, str], str] = {}
    for text in _candidates(results):
        other = _parsed(text)
        changed = [i for i, (a, b) in enumerate(zip(found, other, strict=False)) if a != b]
        if len(other) != len(found) or len(changed) != 1:
            continue
        (operator, read), (instead, others) = found[changed[0]], other[changed[0]]
        gone, new = read - others, others - read
        if operator != instead and not gone and not new:
            operators.setdefault(changed[0], instead)
        elif operator == instead and len(gone) == 1 and len(new) <= 1:
            inputs.setdefault((changed[0], next(iter(gone))), next(iter(new), "nothing"))
    return operators, inputs


def _candidates(results: Mapping[str, Any]) -> Iterator[str]:
    for table in (results.get("finalists", []), results.get("search", {}).get("shortlist", [])):
        yield from (row["architecture"] for row in sorted(table, key=lambda row: row["loss"]))


def _parsed(text: str) -> Graph:
    """``#0 = gated(a.1, b.2); #1 = mlp(#0, c.0)`` as a graph; one modality alone has no node."""
    found = re.findall(r"(?:^|; |= )(\w+)\(([^)]*)\)", text.split("; gates:")[0])
    return tuple((operator, frozenset(inputs.split(", "))) for operator, inputs in found)


def _from_alphas(found: Graph, search: Mapping[str, Any]) -> dict[int, str]:
    """The operator with the largest weight that was not chosen, by node."""
    history: Sequence[Mapping[str, Any]] = search.get("alphas", [])
    choices, operators = search.get("choices", {}), {}
    for index, (operator, _) in enumerate(found):
        rows = history[-1].get(f"gamma.{index}") if history else None
        if rows:
            weights = dict(zip(choices[f"gamma.{index}"], rows[0], strict=True))
            rest = {name: weight for name, weight in weights.items() if name != operator}
            if rest and operator in weights:
                operators[index] = max(rest, key=lambda name: rest[name])
    return operators
