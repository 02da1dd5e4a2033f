"""Registries: a name in the space file -> the class or function behind it.

A registry reads the files of its package on first use, so adding an operator, an encoder, a search
method or a data set is one file with one decorator, and no import list to keep.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from fusionnas.errors import RegistryError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of one kind (``"fusion operator"``) and what they stand for.

    Args:
        kind: what an entry is, as said in errors.
        package: dotted package whose modules register the built-in entries.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._entries: dict[str, T] = {}
        self._discovered = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that registers its target under ``name``; a name is taken once."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise RegistryError(
                    f"the {self.kind} '{name}' is registered twice: by {_origin(self._entries[name])} "
                    f"and by {_origin(entry)}; rename one of them"
                )
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        self._discover()
        if name not in self._entries:
            raise RegistryError(f"'{name}' is not a {self.kind}.{did_you_mean(name, self._entries)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        self._discover()
        return len(self._entries)

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")


def load_plugin(path: Path, *, copy: Path | None = None) -> None:
    """Import one plug-in file, once per process, so that its decorators register their entries.

    Args:
        path: the file; what it registers is known to come from there.
        copy: where its text lies, if not at ``path``.

    Raises:
        RegistryError: the file does not exist or fails to import.
    """
    name = f"fusionnas_plugin_{path.resolve().as_posix().replace('/', '_').removesuffix('.py')}"
    if name in sys.modules:
        return
    file = path if copy is None else copy
    spec = importlib.util.spec_from_file_location(name, file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise RegistryError(f"plug-in {path} is not a Python file; list files ending in .py under 'plugins:'")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except RegistryError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise RegistryError(f"plug-in {path} fails on import: {type(error).__name__}: {error}") from error


def _origin(entry: object) -> str:
    return f"{getattr(entry, '__module__', '?')}.{getattr(entry, '__qualname__', repr(entry))}"
