"""Architectures from files: found elsewhere, or in a paper, they compete with what is found here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from fusionnas.architecture import Architecture
from fusionnas.errors import InputError, SpaceError

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace


def given(space: SearchSpace) -> dict[str, Architecture]:
    """The architectures of ``search.architectures`` by the name that they have in results, in that order.

    Raises:
        InputError: a file cannot be read, is no architecture, or reads what the space does not have; all problems at
            once.
    """
    found, problems = {}, []
    for file in map(Path, space.file.search.architectures):
        try:
            architecture = Architecture.from_json(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, SpaceError) as error:
            problems.append(f"{file}: {error}")
            continue
        wrong = unknown_points(space, architecture)
        problems += [f"{file}: reads {', '.join(wrong)}, which the space does not have"] if wrong else []
        found[f"given {file.stem}"] = architecture
    if problems:
        raise InputError("search.architectures: every file needs an architecture over the space's modalities", problems)
    return found


def unknown_points(space: SearchSpace, architecture: Architecture) -> list[str]:
    """Fusion points that the space lacks."""
    known = {str(point) for point in space.points()}
    return [str(point) for point in architecture.points() if str(point) not in known]
