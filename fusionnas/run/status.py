"""What a run is doing, read from its folder alone: no lock and no right to write needed."""

from __future__ import annotations

import fcntl
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from fusionnas.errors import RunError
from fusionnas.run.folder import no_run
from fusionnas.run.journal import Journal
from fusionnas.run.published import PROGRESS
from fusionnas.stopping import stop_asked

_TOLD = ("stage", "done", "total", "facts", "workers", "running", "process", "host", "began", "updated", "messages")
State = Literal["finished", "running", "stopping", "stopped"]


@dataclass(frozen=True)
class Status:
    """A run at one moment.

    Attributes:
        run: the folder.
        state: ``finished``; ``running``; ``stopping``, asked to stop; ``stopped``, nobody works on it.
        units: finished units of work.
        last: the last of them, and when it ended.
        failed: trainings that failed and were left out: unit and why.
        test_opened: how often the test part was opened.
        stage, done, total: what it is at, and how far; only while somebody works on it.
        seconds_left: of this stage, at its pace until now; None where nothing can be said.
        facts: what the last step told.
        workers, running: how many workers, and what they are at.
        process, host, began, updated: who works on it, since when, and when they told last.
        messages: the last few.
    """

    run: str
    state: State
    units: int
    last: dict[str, str] | None
    failed: list[dict[str, str]]
    test_opened: int
    stage: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    workers: int = 0
    running: list[str] = field(default_factory=list)
    process: int | None = None
    host: str = ""
    began: str = ""
    updated: str = ""
    messages: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def read_status(folder: Path) -> Status:
    """What the run in ``folder`` is doing.

    Raises:
        RunError: no run, or its journal is damaged.
    """
    if not (folder / "journal.jsonl").is_file():
        raise RunError(no_run(folder))
    entries = Journal(folder / "journal.jsonl").entries
    units = [entry for entry in entries if "unit" in entry]
    failed = [{"unit": e["unit"], "failed": e["facts"]["failed"]} for e in units if "failed" in e["facts"]]
    state: State = "running" if in_use(folder) else "stopped"
    told = _told(folder) if state == "running" else {}
    if any(entry.get("event") == "finished" for entry in entries):
        state = "finished"
    elif state == "running" and stop_asked(folder):
        state = "stopping"
    return Status(
        str(folder), state, len(units), {"unit": units[-1]["unit"], "at": units[-1]["at"]} if units else None, failed,
        sum(entry.get("event") == "test_opened" for entry in entries), **told,
    )  # fmt: skip


def in_use(folder: Path) -> bool:
    """Whether a process works on the run."""
    try:
        with (folder / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _told(folder: Path) -> dict[str, Any]:
    """What its process told last; nothing where that cannot be read."""
    try:
        told = json.loads((folder / PROGRESS).read_bytes())
        return {**{key: told[key] for key in _TOLD}, "seconds_left": _seconds_left(told)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _seconds_left(told: dict[str, Any]) -> float | None:
    done, total = int(told["done"]), int(told["total"])
    if not 0 < done <= total:
        return None
    spent = (datetime.fromisoformat(told["updated"]) - datetime.fromisoformat(told["stage_began"])).total_seconds()
    since = (datetime.now(timezone.utc) - datetime.fromisoformat(told["updated"])).total_seconds()
    return max(0.0, float(spent) / done * (total - done) - since)
