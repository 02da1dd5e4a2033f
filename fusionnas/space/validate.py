"""From a read document to a valid ``SpaceFile``, or to every problem that it has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fusionnas.errors import RegistryError, SpaceError
from fusionnas.registry import load_plugin
from fusionnas.space.checks import check, check_sizes, search_methods
from fusionnas.space.messages import explain
from fusionnas.space.places import KeyPath, Place, Problem, written
from fusionnas.space.reading import Document
from fusionnas.space.schema import SpaceFile

_FILES = ("train", "alpha", "select", "test")


def validate(document: Document, folder: Path | None, *, method: bool) -> SpaceFile:
    """The document as a valid space file, its relative paths made absolute.

    Args:
        document: the file, overrides applied.
        folder: what relative paths in the file start from; those of overrides start where the command runs.
        method: also check ``search.method``, which imports the search.

    Raises:
        SpaceError: with all problems, each as ``file:line:column path: message``.
    """
    problems = list(document.problems)
    if not isinstance(document.data, dict):
        if not problems:
            problems.append(Problem((), _not_a_mapping(document.data)))
        raise _error(document, problems)
    _make_absolute(document, folder)
    problems += _load_plugins(document)
    file, found = _parse(document)
    problems += [p for p in found if not _below_any(p.path, document.problems)]
    damaged = [p.path for p in problems if p.path and p.spoils]
    if file is not None:
        found = [*check(file, method=method), *(_options(file, document) if method else ())]
        problems += [p for p in found if not _touches(p.path, damaged)]
    if file is not None and not problems:
        problems += check_sizes(file)
    if problems or file is None:
        raise _error(document, problems)
    return file


def _not_a_mapping(data: Any) -> str:
    if data is None:
        return "the file is empty; it needs name, task and modalities"
    form = "a list" if isinstance(data, tuple) else f"'{data}'"
    return f"given {form}, expected a mapping with name, task and modalities"


def _parse(document: Document) -> tuple[SpaceFile | None, list[Problem]]:
    """The file and no problem; or what is left of it without its faults, and the problems.

    What is left still goes through the checks, so that a typing error in one section does not hide a wrong
    name in another. None: not even that much is left.
    """
    data, problems = document.data, None
    for _ in range(4):
        try:
            return SpaceFile.model_validate(data, strict=True), problems or []
        except ValidationError as error:
            found = explain(error, document)
            problems = found if problems is None else problems
            for path in sorted((p.path for p in found), key=len):
                data = _without(data, path)
            data = {"name": "space", "task": {"kind": "multiclass"}, **data}
    return None, problems or []


def _options(file: SpaceFile, document: Document) -> list[Problem]:
    """What is wrong in ``search.options``, which are the search method's to declare."""
    methods = search_methods()
    if file.search.method not in methods:
        return []
    section = methods[file.search.method].options
    try:
        section.model_validate(dict(file.search.options), strict=True)
    except ValidationError as error:
        return explain(error, document, at=("search", "options"), section=section)
    return []


def _without(data: dict[str, Any], path: KeyPath) -> dict[str, Any]:
    """``data`` less the key or list at ``path``; less the section around it where that key is missing."""
    step = str(path[0]) if path else ""
    if step not in data:
        return data
    rest = {key: value for key, value in data.items() if key != step}
    inner = data[step]
    if len(path) == 1 or not isinstance(inner, dict) or (len(path) == 2 and path[1] not in inner):
        return rest
    return {**rest, step: _without(inner, path[1:])}


def _make_absolute(document: Document, folder: Path | None) -> None:
    paths: list[KeyPath] = [("data", part) for part in _FILES]
    data = document.data
    if isinstance(data.get("plugins"), tuple):
        paths += [("plugins", index) for index in range(len(data["plugins"]))]
    if isinstance(data.get("search"), dict) and isinstance(data["search"].get("architectures"), tuple):
        paths += [("search", "architectures", index) for index in range(len(data["search"]["architectures"]))]
    if isinstance(data.get("modalities"), dict):
        paths += [("modalities", name, "weights") for name in data["modalities"]]
    document.data = _each(data, (), paths, document, folder)


def _each(value: Any, path: KeyPath, paths: list[KeyPath], document: Document, folder: Path | None) -> Any:
    """A copy of ``value`` in which the texts at ``paths`` are absolute paths."""
    if isinstance(value, dict):
        return {key: _each(item, (*path, key), paths, document, folder) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_each(item, (*path, index), paths, document, folder) for index, item in enumerate(value))
    base = folder if document.place(path).line else Path()
    if isinstance(value, str) and value and path in paths and base is not None:
        return os.path.abspath(base / os.path.expanduser(value))
    return value


def _load_plugins(document: Document) -> list[Problem]:
    plugins = document.data.get("plugins")
    if not isinstance(plugins, tuple):
        return []
    from fusionnas.data.base import datasets
    from fusionnas.encoders.base import encoders
    from fusionnas.operators.base import operators

    # What is built in registers first, so that a clash of names is told as the plug-in's.
    for registry in (operators, encoders, datasets):
        len(registry)
    problems = []
    for index, plugin in enumerate(plugins):
        try:
            if isinstance(plugin, str):
                load_plugin(Path(plugin))
        except RegistryError as error:
            problems.append(Problem(("plugins", index), str(error)))
    return problems


def _below_any(path: KeyPath, problems: list[Problem]) -> bool:
    return any(p.spoils and p.path and path[: len(p.path)] == p.path for p in problems)


def _touches(path: KeyPath, damaged: list[KeyPath]) -> bool:
    return any(other == path[: len(other)] or path == other[: len(path)] for other in damaged)


def _error(document: Document, problems: list[Problem]) -> SpaceError:
    def where(problem: Problem) -> Place:
        return problem.place or document.place(problem.path)

    # In the order of the file, overrides last.
    ordered = sorted(problems, key=lambda p: (where(p).line or 10**9, where(p).column))
    lines = [f"{where(p)}{' ' * bool(p.path)}{written(p.path)}: {p.message}" for p in ordered]
    many = f"{len(lines)} problems" if len(lines) > 1 else "1 problem"
    return SpaceError(f"{document.label} is not a valid search space: {many}", list(dict.fromkeys(lines)))
