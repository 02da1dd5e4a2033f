"""Python values as strict JSON and back, every float exactly."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def to_plain(value: Any, where: str = "facts") -> Any:
    """``value`` as strict JSON: NaN and the infinities become ``{"$float": "nan"}``.

    Raises:
        TypeError: something in ``value`` has no exact JSON form; the message names its place.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
    if isinstance(value, (list, tuple)):
        return [to_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key == "$float":
                raise TypeError(f"{where}: key {key!r} cannot be journaled, keys are strings other than '$float'")
        return {key: to_plain(item, f"{where}.{key}") for key, item in value.items()}
    raise TypeError(f"{where} is {type(value).__name__}; JSON has None, bool, int, float, str, list and dict")


def from_plain(value: Any) -> Any:
    """The way back from ``to_plain``."""
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    if isinstance(value, dict):
        if set(value) == {"$float"}:
            return float(value["$float"])
        return {key: from_plain(item) for key, item in value.items()}
    return value


def json_bytes(data: Any) -> bytes:
    """A JSON file for people and machines; NaN and the infinities, which JSON lacks, are null."""
    plain = json.loads(json.dumps(to_plain(data)), object_hook=lambda d: None if set(d) == {"$float"} else d)
    return (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode()
