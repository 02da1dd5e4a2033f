"""Homes of the catalogue's rows: whether one is there, and what it says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionnas.diagnostics.base import diagnostics
from fusionnas.operators.base import operators
from fusionnas.pretraining.base import objectives
from fusionnas.registry import Registry
from fusionnas.search.method import methods
from fusionnas.space import bundled_spaces
from fusionnas.space.json_schema import json_schema
from fusionnas.training.method import training_methods

REGISTRIES: dict[str, Registry[Any]] = {
    "operator": operators, "objective": objectives, "training": training_methods, "method": methods,
    "diagnostic": diagnostics,
}  # fmt: skip
DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True)
class Said:
    """What a home says about itself: equation or question, source, departures."""

    equation: str
    source: str
    departs: str


def is_there(home: str) -> bool:
    """Whether a home ``kind:name`` exists in this version."""
    kind, _, name = home.partition(":")
    if kind in REGISTRIES:
        return name in REGISTRIES[kind]
    if kind == "page":
        return (DOCS / name).is_file()
    if kind == "space":
        return name in bundled_spaces()
    if kind == "command":
        return (Path(__file__).parents[1] / "cli" / f"{name}.py").is_file()
    return kind == "key" and _in_schema(json_schema(), name.split("."))


def said(home: str) -> Said | None:
    """Facts of an entry of a registry; None where the home has none."""
    kind, _, name = home.partition(":")
    if kind not in REGISTRIES or not is_there(home):
        return None
    facts = REGISTRIES[kind][name].facts
    equation = getattr(facts, "formula", "") or getattr(facts, "summary", "") or getattr(facts, "question", "")
    return Said(equation, facts.source, facts.departs)


def _in_schema(schema: dict[str, Any], keys: list[str], root: dict[str, Any] | None = None) -> bool:
    """Whether the JSON schema of space files has the key; NAME stands for any name."""
    root = root or schema
    if "$ref" in schema:
        return _in_schema(root["$defs"][schema["$ref"].rpartition("/")[2]], keys, root)
    if not keys:
        return True
    options = [option for key in ("anyOf", "allOf") for option in schema.get(key, [])]
    inner = schema.get("properties", {}).get(keys[0])
    if keys[0] == "NAME":
        inner = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), None)
    if isinstance(inner, dict) and _in_schema(inner, keys[1:], root):
        return True
    return any(_in_schema(option, keys, root) for option in options)
