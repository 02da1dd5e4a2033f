"""Asking a run to stop, from anywhere: a file in its folder that every process working on it looks for.

A run stops at its next safe point: where a unit saves its state, or between two units. Nothing is lost but what was
computed since.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

_FILE, _BEST = "stop", "take_best"
_OPEN: dict[Path, Callable[[str], None]] = {}
"""Runs that this process works on, and who hears of a signal: signals are a matter of the whole process."""

_PARTS: dict[Path, Path] = {}
"""Runs that are parts of another: a study's trials."""


def stop_asked(folder: Path) -> bool:
    """Whether the run in ``folder`` is asked to stop, or that which it is a part of."""
    return (folder / _FILE).exists() or (folder in _PARTS and (_PARTS[folder] / _FILE).exists())


@contextmanager
def also_stop(part: Path, whole: Path) -> Iterator[None]:
    """In this process the run in ``part`` stops when ``whole`` is asked to."""
    _PARTS[part] = whole
    try:
        yield
    finally:
        del _PARTS[part]


def ask_to_stop(folder: Path) -> None:
    """Ask the run in ``folder`` to stop at its next safe point."""
    with suppress(OSError):  # A full disk: the next Ctrl-C ends it at once.
        (folder / _FILE).touch()


def ask_for_best(folder: Path) -> None:
    """Ask the search in ``folder`` to end at its next decision and to go on with the best so far."""
    (folder / _BEST).touch()


def best_asked(folder: Path) -> bool:
    """Whether the search in ``folder`` is asked for the best so far."""
    return (folder / _BEST).exists()


def begin_work(folder: Path, tell: Callable[[str], None]) -> None:
    """This process works on ``folder`` from now on; a request of before does not count."""
    for name in (_FILE, _BEST):
        (folder / name).unlink(missing_ok=True)
    _OPEN[folder] = tell


def end_work(folder: Path) -> None:
    """It does not any more; more than once is fine."""
    if _OPEN.pop(folder, None) is not None:
        with suppress(OSError):
            for name in (_FILE, _BEST):
                (folder / name).unlink(missing_ok=True)


def install_signals() -> None:
    """Ctrl-C and SIGTERM: once = save and stop at the next safe point, twice = now. For the command line.

    A signal that is ignored, as Ctrl-C is for what runs in the background, stays so.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)


def _on_signal(number: int, frame: FrameType | None) -> None:
    if not _OPEN or any(stop_asked(folder) for folder in _OPEN):
        raise KeyboardInterrupt
    for folder, tell in _OPEN.items():
        ask_to_stop(folder)
        tell("stopping at the next safe point, what is done is kept; once more to stop at once")
