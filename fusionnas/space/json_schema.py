"""The space file as a JSON schema, for editors that complete and check while one types."""

from __future__ import annotations

import importlib
from typing import Any

from fusionnas.space.schema import SpaceFile


def json_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a space file; names in registries, loaded plug-ins among them, are enums."""
    from fusionnas.data.base import datasets
    from fusionnas.encoders.base import encoders
    from fusionnas.operators.base import operators
    from fusionnas.pretraining.base import objectives

    schema = SpaceFile.model_json_schema()
    sections = schema["$defs"]
    _one_or_many(sections["Modality"]["properties"]["encoder"], list(encoders))
    sections["Fusion"]["properties"]["operators"]["items"] = {"type": "string", "enum": list(operators)}
    inputs = sections["Fusion"]["properties"]["inputs"]
    pair = {key: inputs.pop(key) for key in ("type", "prefixItems", "minItems", "maxItems")}
    inputs["anyOf"] = [{"type": "integer", "minimum": 2, "maximum": 16}, pair]
    sections["Pretrain"]["properties"]["objective"]["enum"] = list(objectives)
    methods = importlib.import_module("fusionnas.search.method").methods
    sections["Search"]["properties"]["method"]["enum"] = list(methods)
    decoders = importlib.import_module("fusionnas.search.decoder").decoders
    sections["Search"]["properties"]["decoder"]["anyOf"][0]["enum"] = list(decoders)
    names = {"type": "string", "enum": list(datasets)}
    data = schema["properties"]["data"]
    data["anyOf"] = [names if form.get("type") == "string" else form for form in data["anyOf"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "fusionnas search space",
    }


def _one_or_many(encoder: dict[str, Any], names: list[str]) -> None:
    name = {"type": "string", "enum": names}
    for key in ("type", "items", "minItems"):
        encoder.pop(key, None)
    encoder["anyOf"] = [name, {"type": "array", "items": name, "minItems": 1, "uniqueItems": True}]
