"""``--set a.b=v``: values of the command line, put into the file's data before it is validated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fusionnas.space.places import KeyPath, Place, Problem, written
from fusionnas.space.reading import Document


class _NotThere(Exception):
    """The path of an override leads through something that has no parts."""


def apply_overrides(document: Document, overrides: Sequence[str]) -> None:
    """Put each ``a.b=v`` into the document, in turn; ``v`` is YAML, a step may be a list's index from 0.

    Sections that the file does not have are made; unknown keys are found later, like those of the file.
    """
    for override in overrides:
        label = f"--set {override}"
        name, equals, text = override.partition("=")
        steps = tuple(name.strip().split("."))
        if not equals or not all(steps):
            message = "expected a.b=value, such as fusion.nodes=3"
            document.problems.append(Problem((), message, Place(label)))
            continue
        try:
            path = _resolve(document.data, steps)
        except _NotThere as error:
            document.problems.append(Problem(steps, str(error), Place(label)))
            continue
        value = Document(text, label, root=path, lines=False)
        document.problems += [Problem(p.path, p.message, Place(label)) for p in value.problems]
        document.data = _put(document.data, path, value.data)
        _move_in(document, value, path)


def _resolve(data: Any, steps: tuple[str, ...]) -> KeyPath:
    """The steps as keys and, inside lists, indices."""
    path: KeyPath = ()
    for step in steps:
        if isinstance(data, tuple):
            if not step.isdecimal() or int(step) >= len(data):
                raise _NotThere(f"{written(path)} is a list; '{step}' is not an index 0..{len(data) - 1} of it")
            path, data = (*path, int(step)), data[int(step)]
        elif data is None or isinstance(data, dict):
            path, data = (*path, step), (data or {}).get(step)
        else:
            raise _NotThere(f"{written(path)} is {data!r}, which has no part '{step}'; set {written(path)} as a whole")
    return path


def _put(data: Any, path: KeyPath, value: Any) -> Any:
    """A copy of ``data`` with ``value`` at ``path``."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        return tuple(_put(item, rest, value) if i == step else item for i, item in enumerate(data))
    return {**(data or {}), step: _put((data or {}).get(step), rest, value)}


def _move_in(document: Document, value: Document, path: KeyPath) -> None:
    for known in (document.places, document.keys, document.raw):
        for old in [old for old in known if old[: len(path)] == path]:
            del known[old]
    document.problems = [p for p in document.problems if p.place is not None or p.path[: len(path)] != path]
    document.places.update(value.places)
    document.keys.update(value.keys)
    document.raw.update(value.raw)
    for end in range(1, len(path) + 1):
        document.places.setdefault(path[:end], Place(value.label))
        document.keys.setdefault(path[:end], Place(value.label))
