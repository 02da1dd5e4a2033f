"""YAML text -> plain data, with the position of every key and value, and YAML's traps caught.

PyYAML reads YAML 1.1, in which ``on`` is true, ``010`` is eight, ``12:30`` is 750 and ``1e-3`` is text. Here
``1e-3`` is the number it looks like; the others are refused wherever they would mean something unexpected.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from fusionnas.space.places import KeyPath, Place, Problem

# Anchors inside anchors may unfold to exponentially many values; no real space file comes near this number.
_MOST_VALUES = 20_000
_TAG = "tag:yaml.org,2002:"
_KINDS = ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "value", "merge")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_OCTAL = re.compile(r"[-+]?0[0-7_]+")


class Document:
    """What was read from one text.

    Args:
        text: YAML, one document.
        label: file name or ``--set a.b=v``, as messages say it.
        root: where in the space file the text belongs.
        lines: whether messages say line and column.

    Attributes:
        data: dictionaries, tuples and scalars; None where nothing could be read.
        places: position of the value at each path.
        keys: position of the key at each path.
        raw: text of each unquoted scalar as written, for messages.
        problems: what is wrong with the YAML itself.
    """

    def __init__(self, text: str, label: str, *, root: KeyPath = (), lines: bool = True) -> None:
        self.label, self._lines, self._values = label, lines, 0
        self.data: Any = None
        self.places: dict[KeyPath, Place] = {root: self._at(None)}
        self.keys: dict[KeyPath, Place] = {}
        self.raw: dict[KeyPath, str] = {}
        self.problems: list[Problem] = []
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self.data = None if node is None else self._read(node, root)
        except yaml.MarkedYAMLError as error:
            self.problems.append(Problem(root, _syntax(error), self._at(error.problem_mark)))
        except yaml.reader.ReaderError as error:
            message = f"the character #x{int(error.character):04x} is not allowed in YAML; save the file as plain text"
            self.problems.append(Problem(root, message, self._at(_Mark(text, error.position))))
        except RecursionError:
            self.problems.append(Problem(root, "nested too deeply, or an anchor that holds itself"))

    def place(self, path: KeyPath) -> Place:
        """Where ``path`` stands, or the nearest section around it that the text has."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return self._at(None)

    def _at(self, mark: Any) -> Place:
        if not self._lines:
            return Place(self.label)
        return Place(self.label, 1, 1) if mark is None else Place(self.label, mark.line + 1, mark.column + 1)

    def _read(self, node: yaml.Node, path: KeyPath) -> Any:
        self._values += 1
        if self._values > _MOST_VALUES:
            raise yaml.MarkedYAMLError(problem=f"more than {_MOST_VALUES} values", problem_mark=node.start_mark)
        self.places[path] = self._at(node.start_mark)
        if node.tag.removeprefix(_TAG) not in _KINDS:
            return self._refuse(path, f"the tag '{node.tag}' is not read; write the plain value")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self._read(child, (*path, index)) for index, child in enumerate(node.value))
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = self._at(key_node.start_mark)
            if problem := _key_problem(key_node):
                step = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
                self.problems.append(Problem((*path, step), problem, place))
                continue
            below = (*path, str(key_node.value))
            if key_node.value in data:
                first = f", first in line {self.keys[below].line}" if self._lines else ""
                self.problems.append(Problem(below, f"given twice{first}; keep one", place, spoils=False))
                continue
            self.keys[below] = place
            data[key_node.value] = self._read(value_node, below)
        return data

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        kind, text = node.tag.removeprefix(_TAG), str(node.value)
        if node.style is None:
            self.raw[path] = text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() in ("true", "on", "yes")
        if kind in ("int", "float") and ":" in text:
            return self._refuse(path, f"{text} is read as {_meaning(node)} by YAML; quote it, or write the number")
        if kind == "int" and _OCTAL.fullmatch(text):
            plain = text.lstrip("+-0_") or "0"
            return self._refuse(path, f"{text} is read as {_meaning(node)} by YAML; write {plain}, or quote it as text")
        try:
            return _number(node) if kind in ("int", "float", "str") else text
        except ValueError:
            return self._refuse(path, f"'{text}' is not what its tag says")

    def _refuse(self, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(path, message))


class _Mark:
    """Line and column, from 0, of a character's position in a text."""

    def __init__(self, text: str, position: int) -> None:
        before = text[:position]
        self.line, self.column = before.count("\n"), position - (before.rfind("\n") + 1)


def _number(node: yaml.ScalarNode) -> int | float | str:
    """The number that a plain scalar looks like, else its text."""
    text = str(node.value)
    if node.tag == f"{_TAG}int":
        return int(text.replace("_", ""), 0)
    if node.tag == f"{_TAG}float":
        return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    return float(text) if node.style is None and _FLOAT.fullmatch(text) else text


def _key_problem(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        return "a key is a name, not a list or a mapping"
    if node.tag == f"{_TAG}merge":
        return "merge keys ('<<') are not read; write the keys out"
    if node.tag != f"{_TAG}str":
        return f"the key {node.value} is read as {_meaning(node)} by YAML; quote it: '{node.value}'"
    return ""


def _meaning(node: yaml.ScalarNode) -> str:
    """What YAML 1.1 makes of a plain scalar, in words."""
    value = yaml.safe_load(str(node.value))
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    return f"the number {value}" if isinstance(value, (int, float)) else "a date"


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem)
    if "'\\t'" in problem:
        return "a tab; indent YAML with spaces"
    if "found another document" in problem:
        return "a second document ('---'); a space file holds one"
    return f"not valid YAML: {problem}" + (f" ({error.context})" if error.context else "")
