"""What one sample looks like as JSON, by the network's own preprocessing: one entry per input of the data.

| input | JSON |
|---|---|
| table | an object, column -> number, text or null |
| vector | a list of numbers, null = missing |
| series | a list of observations, {"time": number, "variable": name, "value": number} |
| codes, text | a list of texts; a text may be one text |
| image, audio | nested lists of numbers in the shape of training; an image of one channel without that dimension |

An input that is null or left out is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fusionnas.data.raw import Grid, Series, Table, Tokens
from fusionnas.data.views.grids import Frames, Patches
from fusionnas.data.views.plain import Plain
from fusionnas.export.native import Model


@dataclass
class Input:
    """One input of the data, as all its views together need it.

    Attributes:
        kind: as the space says.
        raw: raw kind.
        numbers: columns or variables that hold numbers.
        words: columns of categories, with the categories that training knew.
        shape: of images and audio.
    """

    kind: str
    raw: type
    numbers: tuple[str, ...] = ()
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    shape: tuple[int, ...] = ()


def inputs_of(model: Model) -> dict[str, Input]:
    """The inputs that the network reads, by name in the data."""
    found: dict[str, Input] = {}
    for name in model.network.architecture.modalities:
        view, source = model.preprocessing.views[name], model.preprocessing.sources[name]
        one = found.setdefault(source, Input(model.space.file.modalities[name].kind, view.raw))
        if view.raw in (Table, Series):
            one.numbers = tuple(dict.fromkeys((*one.numbers, *view.scaling.names)))  # type: ignore[attr-defined]
        if isinstance(view, Plain):
            one.words |= dict(view.levels)
        if isinstance(view, (Patches, Frames)):
            one.shape = view.shape
    return found


def json_schema(model: Model) -> dict[str, Any]:
    """JSON schema (draft 2020-12) of one sample."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"a sample for {model.space.name}",
        "type": "object",
        "properties": {name: _nullable(_schema(one)) for name, one in inputs_of(model).items()},
        "additionalProperties": False,
    }


def _schema(one: Input) -> dict[str, Any]:
    number = {"type": ["number", "null"]}
    if one.kind == "vector":
        return {"type": "array", "items": number, "minItems": len(one.numbers), "maxItems": len(one.numbers)}
    if one.raw is Table:
        words = {name: {"type": ["string", "null"], "examples": list(known)} for name, known in one.words.items()}
        return {"type": "object", "properties": {**dict.fromkeys(one.numbers, number), **words},
                "additionalProperties": False}  # fmt: skip
    if one.raw is Series:
        time, names = {"type": "number", "minimum": 0}, list(one.numbers)
        properties = {"time": time, "variable": {"enum": names}, "value": number}
        item = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
        return {"type": "array", "items": item}
    if one.raw is Tokens:
        texts = {"type": "array", "items": {"type": "string"}}
        return {"anyOf": [texts, {"type": "string"}]} if one.kind == "text" else texts
    assert one.raw is Grid
    full = _nested(one.shape)
    return full if one.shape[0] != 1 or one.kind != "image" else {"anyOf": [full, _nested(one.shape[1:])]}


def _nested(shape: tuple[int, ...]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": ["number", "null"]}
    for size in reversed(shape):
        schema = {"type": "array", "items": schema, "minItems": size, "maxItems": size}
    return schema


def _nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [*schema.get("anyOf", [schema]), {"type": "null"}]}
