"""Collecting source: the classes and functions that a network uses, as they stand in our files or in a plug-in's.

Starting from some objects, every name that their source mentions is followed: what is ours is taken along, what is
torch's or Python's own becomes an import. What only the search needs (facts, counts, registration) is left out.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fusionnas.encoders.base import EncoderLayer
from fusionnas.operators.base import FusionOperator

LEFT_OUT = frozenset({
    "facts", "ordered", "sequence", "stackable", "straight_through", "inputs_range", "decides", "fixed_length",
    "count_parameters", "count_macs", "count_rule", "reorder", "over", "build",
})  # fmt: skip
"""What only the search asks of an operator or encoder."""

PLAIN = {
    FusionOperator: '''
class FusionOperator(nn.Module):
    """k features of D channels -> one feature of D channels; an absent feature contributes nothing."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.inputs, self.width = inputs, width
''',
    EncoderLayer: '''
class EncoderLayer(nn.Module):
    """One layer of an encoder: (B, T, D) -> (B, T, D), zero where masked."""

    def __init__(self, width: int, spec: InputSpec) -> None:
        super().__init__()
        self.width, self.spec = width, spec
''',
}
"""Base classes without what only the search needs."""


@dataclass
class Collected:
    """Source in order of need, and the imports that it needs.

    Attributes:
        pieces: source by (module, name); what is used stands before what uses it.
        imports: (module, name, as) of every import; an empty name is the module itself.
        names: name in the output by (module, name).
    """

    pieces: dict[tuple[str, str], str] = field(default_factory=dict)
    imports: set[tuple[str, str, str]] = field(default_factory=set)
    names: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, thing: Any) -> str:
        """Take a class or a function along with all that it uses; its name in the output."""
        return self._take(thing.__module__, thing.__qualname__)

    def _take(self, module: str, name: str) -> str:
        key = (module, name)
        if key in self.names:
            return self.names[key]
        taken = set(self.names.values())
        tail = re.sub(r"\W", "_", module.rpartition(".")[2])
        self.names[key] = name if name not in taken else f"{name}_{tail}"
        thing = getattr(sys.modules[module], name, None)
        if isinstance(thing, type) and thing in PLAIN:
            source = textwrap.dedent(PLAIN[thing]).strip()
        else:
            source = _source(module, name)
        tree = ast.parse(source)
        renamed = {used: self._follow(module, used) for used in _used(tree)}
        self.pieces[key] = _rename(source, tree, {**renamed, name: self.names[key]})
        return self.names[key]

    def _follow(self, module: str, name: str) -> str:
        """The output's name for a name that a module's source uses."""
        scope = vars(sys.modules[module])
        if name not in scope and name not in _imported(module):
            return name
        thing = scope.get(name)
        owner = getattr(thing, "__module__", None)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            if owner is not None and _is_ours(owner):
                return self._take(owner, thing.__qualname__)
        elif name in _assigned(module):
            return self._take(module, name)
        imported = _imported(module).get(name)
        if imported is None:
            return name
        origin, original = imported
        if _is_ours(origin) and original:
            return self._take(origin, original)
        self.imports.add((origin, original, name))
        return name

    def import_lines(self) -> list[str]:
        """Import statements, sorted: modules first, then names, as isort has them within one block."""
        plain = sorted(f"import {m}" + (f" as {a}" if a != m else "") for m, name, a in self.imports if not name)
        grouped: dict[str, list[str]] = {}
        for module, name, alias in sorted(self.imports):
            if name and module != "__future__":
                grouped.setdefault(module, []).append(name if alias == name else f"{name} as {alias}")
        return plain + [f"from {module} import {', '.join(names)}" for module, names in sorted(grouped.items())]


def _is_ours(module: str) -> bool:
    """Also a plug-in's: what cannot be imported elsewhere."""
    return module.split(".")[0] == "fusionnas" or module.startswith("fusionnas_plugin_")


def _tree(module: str) -> tuple[ast.Module, list[str]]:
    text = inspect.getsource(sys.modules[module])
    return ast.parse(text), text.splitlines()


def _assigned(module: str) -> dict[str, ast.stmt]:
    """Statements of a module that assign one name."""
    found: dict[str, ast.stmt] = {}
    for node in _tree(module)[0].body:
        for target in _targets(node):
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            found |= {one.id: node for one in names if isinstance(one, ast.Name)}
    return found


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def _imported(module: str) -> dict[str, tuple[str, str]]:
    """By name in a module's scope, where it is imported from: (module, name), or (module, "") for a module itself."""
    found: dict[str, tuple[str, str]] = {}
    for node in ast.walk(_tree(module)[0]):
        if isinstance(node, ast.Import):
            found |= {one.asname or one.name.split(".")[0]: (one.name, "") for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {one.asname or one.name: (node.module, one.name) for one in node.names}
    return found


def _used(tree: ast.Module) -> Iterator[str]:
    """Names that source mentions, in order of appearance, each once."""
    seen = [(node.lineno, node.col_offset, node.id) for node in ast.walk(tree) if isinstance(node, ast.Name)]
    yield from dict.fromkeys(name for _, _, name in sorted(seen) if not hasattr(builtins, name))


def _source(module: str, name: str) -> str:
    """The source of a top-level class, function or constant."""
    tree, lines = _tree(module)
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
            return "\n".join(_kept(node, lines))
    node = _assigned(module)[name]
    assert node.end_lineno is not None
    return "\n".join(lines[node.lineno - 1 : node.end_lineno])


def _kept(node: ast.ClassDef | ast.FunctionDef, lines: list[str]) -> list[str]:
    """The lines of a definition, without registration and without what only the search needs."""
    assert node.end_lineno is not None
    dropped: set[int] = set()
    if isinstance(node, ast.ClassDef):
        kept = [inner for inner in node.body if _name(inner) not in LEFT_OUT]
        mentioned = {n.attr for inner in kept for n in ast.walk(inner) if isinstance(n, ast.Attribute)}
        for inner in node.body:
            if _name(inner) in LEFT_OUT - mentioned:
                dropped |= set(_lines_of(inner, lines))
    marks = [d for d in node.decorator_list if not _registers(d)]
    first = min((mark.lineno for mark in marks), default=node.lineno)
    return _squeezed([lines[n - 1] for n in range(first, node.end_lineno + 1) if n not in dropped])


def _registers(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "").startswith("register_")


def _name(node: ast.stmt) -> str:
    if isinstance(node, ast.FunctionDef):
        return node.name
    return "".join(target.id for target in _targets(node)[:1] if isinstance(target, ast.Name))


def _lines_of(node: ast.stmt, lines: list[str]) -> range:
    """A statement's lines, with decorators and the comments right above it."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    while lines[first - 2].strip().startswith("#"):
        first -= 1
    assert node.end_lineno is not None
    return range(first, node.end_lineno + 1)


def _squeezed(lines: list[str]) -> list[str]:
    """Without blank lines in a row or at the end."""
    kept = [line for i, line in enumerate(lines) if line.strip() or (i and lines[i - 1].strip())]
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def _rename(source: str, tree: ast.Module, names: dict[str, str]) -> str:
    """Source with names of definitions and of what they use replaced."""
    lines = source.splitlines()
    places = [(n.lineno, n.col_offset, n.id) for n in ast.walk(tree) if isinstance(n, ast.Name)]
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            column = lines[node.lineno - 1].index(node.name)
            places.append((node.lineno, column, node.name))
    for line, column, name in sorted(places, reverse=True):
        if names.get(name, name) != name:
            text = lines[line - 1]
            start = len(text.encode()[:column].decode())
            lines[line - 1] = text[:start] + names[name] + text[start + len(name) :]
    return "\n".join(lines)
