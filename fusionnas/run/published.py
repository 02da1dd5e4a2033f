"""Progress that others can read: ``fusionnas status`` and ``watch``, from another terminal or another machine."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from fusionnas.run.plain import json_bytes
from fusionnas.run.progress import Progress

PROGRESS = "progress.json"
_EVERY = 1.0  # seconds between two writings at least


class AtWork(Protocol):
    """Who does the work, such as an executor."""

    @property
    def workers(self) -> int:
        """Tasks at the same time."""

    @property
    def running(self) -> Sequence[str]:
        """The names of those that workers are at."""


class PublishedProgress:
    """Passes everything on, and keeps ``progress.json`` in the run folder up to date; no result depends on it.

    Args:
        shown: where it passes everything on to.
        folder: of the run.
        crew: whose workers and tasks are told.
    """

    def __init__(self, shown: Progress, folder: Path, crew: AtWork) -> None:
        self._shown, self._file, self._crew = shown, folder / PROGRESS, crew
        self._state: dict[str, Any] = {
            "process": os.getpid(), "host": socket.gethostname(), "began": _now(), "workers": crew.workers,
            "stage": "", "done": 0, "total": 0, "stage_began": _now(), "facts": {}, "messages": [],
        }  # fmt: skip
        self._written = 0.0

    def stage(self, name: str, total: int) -> None:
        """A new stage begins."""
        self._state |= {"stage": name, "done": 0, "total": total, "stage_began": _now(), "facts": {}}
        self._shown.stage(name, total)
        self._write()

    def advance(self, facts: Mapping[str, Any]) -> None:
        """One step is done."""
        self._state |= {"done": self._state["done"] + 1, "facts": dict(facts)}
        self._shown.advance(facts)
        if time.monotonic() - self._written >= _EVERY:
            self._write()

    def message(self, text: str) -> None:
        """Something that people should know; the last few are published."""
        self._state["messages"] = [*self._state["messages"], text][-10:]
        self._shown.message(text)
        self._write()

    def close(self) -> None:
        """Nobody works on the run any more."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _write(self) -> None:
        """Atomically but without waiting for the disk: it is worth nothing after a power cut."""
        self._written = time.monotonic()
        now = {"updated": _now(), "workers": self._crew.workers, "running": list(self._crew.running)}
        temporary = self._file.with_name(PROGRESS + ".tmp")
        with suppress(OSError):
            temporary.write_bytes(json_bytes({**self._state, **now}))
            os.replace(temporary, self._file)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
