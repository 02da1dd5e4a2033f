"""Where in the space file a value stands, and what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """A position that a message names: ``ehr.yaml:12:7``, or ``--set fusion.nodes=9`` (line 0)."""

    label: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.label}:{self.line}:{self.column}" if self.line else self.label


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: the key or value of the file that it is about.
        message: what was given, what was expected.
        place: where, if it is not where ``path`` stands.
        spoils: there is no usable value at ``path``; what else is wrong there is an echo.
    """

    path: KeyPath
    message: str
    place: Place | None = None
    spoils: bool = True


def written(path: KeyPath) -> str:
    """``("modalities", "vitals", "encoder", 1)`` -> ``modalities.vitals.encoder[1]``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def closest(given: str, known: Iterable[str]) -> str | None:
    """The known name that ``given`` is most likely a misspelling of."""
    close = difflib.get_close_matches(given, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def suggest(given: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)``, or all that is known where nothing comes close."""
    names = list(known)
    if not names:
        return " (there are none)"
    close = closest(given, names)
    return f" (did you mean '{close}'?)" if close else f" (known: {', '.join(names)})"
