"""What a study varies: the ranges of a space, as settings that ``--set`` would make."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fusionnas.errors import InputError, SpaceError
from fusionnas.space import SearchSpace
from fusionnas.space.schema import Range

SEED = "seed"
"""The key that stands for the seed of the search."""
_FIXED = {
    "name": "it says only how runs are called",
    "data": "losses on other data cannot be compared",
    "task": "losses of another task cannot be compared",
    "study": "a study does not vary itself",
    "search.seeds": "it counts only after the choice, and cannot change the loss on select",
    "search.random": "it counts only after the choice, and cannot change the loss on select",
    "search.data_parallel": "trials run side by side, each on one core",
    "training.refit": "it counts only after the choice, and cannot change the loss on select",
}

Values = Mapping[str, Any]
"""A value for every key that varies."""


def check_ranges(space: SearchSpace) -> None:
    """Whether the space is valid at both ends of every range, and with every choice.

    Raises:
        InputError: no ranges, or all that are wrong.
    """
    if space.file.search.data_parallel > 1:
        raise InputError(
            f"search.data_parallel: given {space.file.search.data_parallel}, but trials run side by side, each on one "
            "core; leave it at 1 in a study"
        )
    if not space.file.study:
        raise InputError(
            f"--trials: the space '{space.name}' gives no ranges",
            ["say what varies, such as  study: {training.learning_rate: {low: 0.0005, high: 0.005, log: true}}"],
        )
    problems = []
    for key, extent in space.file.study.items():
        reason = next((why for fixed, why in _FIXED.items() if key == fixed or key.startswith(f"{fixed}.")), None)
        if reason is not None:
            problems.append(f"study.{key}: cannot vary: {reason}")
            continue
        for value in ends(extent):
            problems += [f"study.{key}: {problem}" for problem in _problems(space, key, value)]
    if problems:
        raise InputError(f"the ranges of the space '{space.name}' cannot be searched", list(dict.fromkeys(problems)))


def ends(extent: Range | tuple[Any, ...]) -> tuple[Any, ...]:
    """Lowest and highest value, or every choice."""
    return (extent.low, extent.high) if isinstance(extent, Range) else extent


def _problems(space: SearchSpace, key: str, value: Any) -> Iterator[str]:
    if key == SEED:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            yield f"given {value!r}, expected a whole number from 0"
        return
    try:
        varied(space, {key: value})
    except SpaceError as error:
        yield from error.problems


def varied(space: SearchSpace, values: Values) -> SearchSpace:
    """The space with these values, and without ranges.

    Raises:
        SpaceError: they do not go together.
    """
    overrides = [f"{key}={_text(value)}" for key, value in values.items() if key != SEED]
    return SearchSpace.parse(space.to_yaml(), name=space.name, folder=space.folder, overrides=[*overrides, "study={}"])


def _text(value: Any) -> str:
    """As ``--set`` reads it: a text may be any YAML; YAML's floats have a point."""
    if isinstance(value, str):
        return value
    text = json.dumps(value)
    return text if not isinstance(value, float) or "." in text else text.replace("e", ".0e")
