"""The architecture that a path means: a run, an export, or an ``architecture.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fusionnas.architecture import Architecture
from fusionnas.errors import RunError


def read_architecture(path: Path) -> Architecture:
    """Read it from a run folder, an export folder, or a JSON file.

    Raises:
        RunError: there is none, or it is no JSON.
        SpaceError: the JSON is no architecture; all problems at once.
    """
    file = path / "architecture.json" if path.is_dir() else path
    if not file.is_file():
        if (path / "journal.jsonl").is_file():
            raise RunError(f"{path} has found no architecture yet; `fusionnas resume {path}` goes on")
        raise RunError(f"{path}: expected a run, an export or an architecture.json; there is no {file}")
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise RunError(f"{file} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise RunError(f"{file} holds no architecture: expected a mapping, given a {type(data).__name__}")
    return Architecture.from_json(data)


def read_front(path: Path) -> dict[str, Any] | None:
    """The front (``pareto`` of results.json) of a finished run that had several objectives; None for all else."""
    file = path / "results.json"
    if not file.is_file():
        return None
    front: dict[str, Any] | None = json.loads(file.read_text(encoding="utf-8")).get("pareto")
    return front
