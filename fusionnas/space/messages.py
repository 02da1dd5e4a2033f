"""What pydantic found wrong, said in the words of the space file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fusionnas.space.places import KeyPath, Problem, closest, suggest, written
from fusionnas.space.reading import Document
from fusionnas.space.schema import Modality, Section, SpaceFile

Sections = Mapping[str, type[Section]]


def _below(section: type[Section], path: str = "") -> dict[str, type[Section]]:
    """The section and all sections in it, by path; those of modalities, whose names are free, aside."""
    found = {path: section}
    for key, field in section.model_fields.items():
        for form in get_args(field.annotation) or (field.annotation,):
            if isinstance(form, type) and issubclass(form, Section) and form is not Modality:
                found |= _below(form, f"{path}.{key}".removeprefix("."))
    return found


_SECTIONS: Sections = _below(SpaceFile)
_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
# Keys that take two forms: pydantic complains of the second alone.
_EITHER = {
    "encoder": "a name or a list of names",
    "inputs": "a whole number or two",
    "data": "a data set's name or a mapping that describes files",
    **dict.fromkeys(("blending", "modulation", "debias", "warm_start"), "a word or a mapping with kind"),
}
_BOUNDS = {
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
}


def explain(
    error: ValidationError, document: Document, *, at: KeyPath = (), section: type[Section] = SpaceFile
) -> list[Problem]:
    """One problem per thing that is wrong, in the order in which pydantic found them.

    Args:
        error: of validating ``section``.
        document: the file.
        at: where in the file the section stands; its own sections are known by name.
        section: what was validated.
    """
    problems = []
    details = error.errors()
    known = {**_SECTIONS, written(at): section}
    misspelt = {_meant(p, known) for d in details if d["type"] == "extra_forbidden" and (p := _path(d, document, at))}
    for detail in details:
        path = _path(detail, document, at)
        if detail["type"] == "missing" and path in misspelt:
            continue
        # Where no item of a list is valid, pydantic adds that the list is too short.
        echo = detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]
        if path is not None and not echo:
            unknown_key = detail["type"] == "extra_forbidden"
            place = document.keys.get(path) if unknown_key or detail["loc"][-1:] == ("[key]",) else None
            problems.append(Problem(path, _message(detail, path, document, known), place))
    return problems


def _meant(path: KeyPath, known: Sections) -> KeyPath:
    """The key that the unknown one at ``path`` comes closest to."""
    section = _section_at(path[:-1], known)
    return (*path[:-1], closest(str(path[-1]), section.model_fields if section else ()) or "")


def _section_at(path: KeyPath, known: Sections) -> type[Section] | None:
    """The section whose keys stand directly below ``path``."""
    if path[:1] == ("modalities",):
        return Modality if len(path) == 2 else None
    return known.get(written(path))


def _path(detail: ErrorDetails, document: Document, at: KeyPath) -> KeyPath | None:
    """Where the error stands in the file; None if it is about the form of ``data`` that was not meant."""
    path, data = (*at, *detail["loc"]), document.data
    if path[-1:] == ("[key]",):
        return path[:-1]
    if path[:1] == ("data",) and len(path) > 1:
        meant = "Files" if isinstance(data.get("data"), dict) else "str"
        return ("data", *path[2:]) if path[1] == meant else None
    return path


def _message(detail: ErrorDetails, path: KeyPath, document: Document, known: Sections) -> str:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    key = path[-1] if path else ""
    shown = document.raw.get(path) or _shown(given)
    if kind == "extra_forbidden":
        section = _section_at(path[:-1], known)
        return f"unknown key{suggest(str(key), section.model_fields if section else ())}"
    if kind == "missing":
        return _missing(path, known)
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        names = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        return f"given {shown}, expected one of {', '.join(names)}" + _close(given, names)
    if kind in _BOUNDS:
        return f"given {shown}, expected {_BOUNDS[kind].format(**context)}"
    if kind == "string_pattern_mismatch":
        return f"'{given}' is not a name: a letter, then letters, digits and _"
    if kind in ("too_short", "string_too_short"):
        return "is empty; at least one is needed" if not given else f"given {shown}, expected {context['min_length']}"
    if kind == "too_long":
        return f"given {shown}, expected at most {context['max_length']} values"
    if kind in _EXPECTED:
        return _wrong_type(_EITHER.get(str(key), _EXPECTED[kind]), given, shown)
    return str(detail["msg"])


def _missing(path: KeyPath, known: Sections) -> str:
    if isinstance(path[-1], int):
        return f"a value is missing; {path[-1] + 1} are needed"
    section = _section_at(path[:-1], known)
    about = section.model_fields[path[-1]].description if section else None
    return "is needed" + (f": {about[0].lower()}{about[1:].rstrip('.')}" if about else "")


def _wrong_type(expected: str, given: object, shown: str) -> str:
    text_expected = expected == "a text" or "name" in expected
    if text_expected and isinstance(given, (bool, int, float)):
        meaning = f"the truth value {str(given).lower()}" if isinstance(given, bool) else f"the number {given}"
        return f"{shown} is read as {meaning} by YAML; quote it: '{shown}'"
    return f"given {shown}, expected {expected}"


def _shown(given: object) -> str:
    if isinstance(given, dict):
        return "a mapping"
    if isinstance(given, tuple):
        return f"a list of {len(given)}" if given else "an empty list"
    return "nothing" if given is None else f"'{given}'" if isinstance(given, str) else str(given)


def _close(given: object, names: list[str]) -> str:
    close = closest(given, names) if isinstance(given, str) else None
    return f" (did you mean '{close}'?)" if close else ""
