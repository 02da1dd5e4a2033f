"""What can go wrong because of the user's input, and how it is told.

Every error names what, where, what was given, what was expected and what to do. All problems of one
input are collected and raised together.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path


class FusionNASError(Exception):
    """Something failed that is not the user's mistake, and is told in words; the command line ends with status 1."""


class InputError(Exception):
    """The user's input is wrong; the command line ends with status 2.

    Args:
        title: what was being read, one line.
        problems: one line each, ``where: message``.
    """

    def __init__(self, title: str, problems: Sequence[str] = ()) -> None:
        self.title = title
        self.problems = tuple(problems)
        super().__init__("\n".join([title, *(f"  {problem}" for problem in self.problems)]))


class SpaceError(InputError):
    """A search space, or an architecture for it, is not valid."""


class DataError(InputError):
    """A data set cannot be used as it is."""


class RunError(InputError):
    """A run folder or an export cannot be used as it is."""


class DiskError(FusionNASError):
    """The disk takes no more; what was written before is kept."""


class RegistryError(InputError):
    """A name is not registered, or is registered twice."""


class MissingExtraError(InputError):
    """What was asked for needs a package that is not installed."""


class Stopped(BaseException):
    """A unit of work has saved its state and left, since its run was asked to stop; no error, so not an Exception."""


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM while a run was open; ``path`` is the run, which can be resumed."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'? Known: a, b.`` for a mistyped name, ready to append to a message."""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f"{hint} Known: {', '.join(names)}."
