"""A run is a folder; its journal remembers every finished unit of work, so a killed run goes on where it was."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import safetensors.torch
from torch import Tensor

from fusionnas.errors import RunError, RunInterrupted, Stopped
from fusionnas.run.environment import describe, differences
from fusionnas.run.files import explained, intact, sha256, write_atomic, write_json
from fusionnas.run.folder import claimed, damaged, next_free, no_run, read_file, written
from fusionnas.run.journal import Journal
from fusionnas.run.lock import Lock
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.stopping import begin_work, end_work, stop_asked

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

FORMAT = 1
SAVE_EVERY = 30.0
"""Seconds between two checkpoints of a unit."""
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)*")


class Run:
    """An open run; use it in a ``with`` statement, or ``close`` it.

    Made by ``Run.create`` and ``Run.open``.

    Attributes:
        path: the folder.
        settings: what ``create`` was given, as JSON data.
        save_every: seconds between checkpoints within a unit.
    """

    def __init__(self, path: Path, journal: Journal, lock: Lock, tell: Callable[[str], None]) -> None:
        self.path = path
        self._journal = journal
        self._lock = lock
        self._tell = tell
        self.settings: dict[str, Any] = journal.events[0]["settings"]
        self.save_every = SAVE_EVERY
        begin_work(path, tell)

    @classmethod
    def create(
        cls,
        path: Path | None,
        *,
        space: SearchSpace,
        settings: Mapping[str, Any],
        tell: Callable[[str], None] | None = None,
    ) -> Run:
        """Begin a run.

        Args:
            path: the folder, new or empty; None: ``runs/<name of the space>-0001``, next free number.
            space: stored resolved, as ``space.yaml``.
            settings: JSON data that a resumed run needs besides the space (seed, data, method).
            tell: receives messages for people; default: the logger ``fusionnas``.

        Raises:
            RunError: the folder is not empty or cannot be written.
        """
        path = next_free(space.name) if path is None else claimed(Path(path))
        lock = Lock(path / "lock")
        try:
            text = space.to_yaml().encode()
            environment = describe(settings)
            write_atomic(path / "space.yaml", text)
            write_json(path / "environment.json", environment)
            with explained(path):
                (path / "checkpoints").mkdir(exist_ok=True)
            # The journal comes last: a folder without one is a run that never began.
            journal = Journal(path / "journal.jsonl")
            journal.append({"event": "created", "format": FORMAT, "space": sha256(text), "settings": dict(settings),
                            "environment": environment})  # fmt: skip
            return cls(path, journal, lock, tell or _log)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, path: Path, *, tell: Callable[[str], None] | None = None) -> Run:
        """Go on with a run. What was lost at the end of its journal is told, and so is a changed environment.

        Raises:
            RunError: no run, in use by another process, or damaged.
        """
        path, tell = Path(path), tell or _log
        if not (path / "journal.jsonl").is_file():
            raise RunError(no_run(path))
        lock = Lock(path / "lock")
        try:
            journal = Journal(path / "journal.jsonl")
            _check(path, journal)
            if journal.dropped:
                tell(journal.dropped)
            changes = differences(journal.events[0]["environment"], describe(journal.events[0]["settings"]))
            if changes:
                tell(f"{path} began elsewhere, numbers may differ in the last digits: {'; '.join(changes)}")
            for leftover in path.rglob("*.tmp"):
                leftover.unlink(missing_ok=True)
            return cls(path, journal, lock, tell)
        except BaseException:
            lock.release()
            raise

    def unit(self, name: str, compute: Callable[[Checkpoint], Result]) -> Result:
        """The result of a unit of work: computed once, remembered in the journal ever after.

        ``compute`` must be a pure function of what was known before it, so that computing it again after a kill
        gives the same. What comes back is the same object form whether computed now or read: JSON types, CPU
        tensors in own memory, names sorted.

        Args:
            name: unique in the run, such as ``retrain/3f2a10bc/0``; letters, digits, ``. _ + -`` between slashes.
            compute: does the work; long work saves its state in the Checkpoint.

        Raises:
            RunError: the result cannot be written.
            RunInterrupted: the run was asked to stop; the unit has saved its state, or has not begun.
        """
        assert _UNIT.fullmatch(name), f"unit name {name!r}"
        entry = self._journal.unit(name)
        if entry is not None and (stored := self._stored(name, entry)) is not None:
            return stored
        self.safe_point()
        try:
            result = compute(self.checkpoint(name))
        except Stopped:
            raise RunInterrupted(self.path) from None
        return self.keep(name, result)

    def keep(self, name: str, result: Result) -> Result:
        """The result of a unit that was computed elsewhere, as ``unit`` gives it from now on.

        Raises:
            RunError: it cannot be written.
        """
        assert _UNIT.fullmatch(name), f"unit name {name!r}"
        entry, result, digest = self._journal.unit(name), result.settled(name), None
        if result.tensors:
            data = safetensors.torch.save(result.tensors)
            digest = sha256(data)
            write_atomic(self._tensor_file(name), data)
        self._journal.append({"unit": name, "facts": result.facts, "tensors": digest})
        self.checkpoint(name).clear()
        if entry is not None and entry["facts"] != result.facts:
            self._tell(f"unit '{name}' gave other facts than before; was it computed in another environment?")
        return result

    def stopping(self) -> bool:
        """Whether the run is asked to stop."""
        return stop_asked(self.path)

    def safe_point(self) -> None:
        """Where a run may stop.

        Raises:
            RunInterrupted: it is asked to.
        """
        if self.stopping():
            raise RunInterrupted(self.path)

    def known(self, name: str) -> bool:
        """Whether ``unit`` would read this unit's result instead of computing it."""
        entry = self._journal.unit(name)
        return entry is not None and (not entry["tensors"] or intact(self._tensor_file(name), entry["tensors"]))

    def units(self) -> dict[str, dict[str, Any]]:
        """The facts of every finished unit, by name, oldest first."""
        return {entry["unit"]: entry["facts"] for entry in self._journal.entries if "unit" in entry}

    def checkpoint(self, name: str) -> Checkpoint:
        """The place where a unit saves its state under way; for work that another process does."""
        return Checkpoint(self.path / "checkpoints" / f"{name}.state", self.save_every, self.path)

    def record(self, event: str, **facts: Any) -> None:
        """A journal line that is no unit, such as ``record("test_opened", samples=4000)``."""
        self._journal.append({"event": event, "facts": facts})

    def recorded(self, event: str) -> list[dict[str, Any]]:
        """The facts of every line recorded as ``event``, oldest first."""
        return [entry["facts"] for entry in self._journal.events if entry.get("event") == event and "facts" in entry]

    def write_json(self, name: str, data: Any) -> None:
        """Write a JSON file into the folder, atomically; NaN and the infinities are written as null."""
        write_json(self.path / name, data)
        self.seal(name)

    def write_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write a safetensors file into the folder, atomically."""
        write_atomic(self.path / name, safetensors.torch.save(Result({}, dict(tensors)).settled(name).tensors))
        self.seal(name)

    def seal(self, *names: str) -> None:
        """Put the hashes of files that lie in the folder into the journal: a later change of them is noticed."""
        for name in names:
            digest = sha256((self.path / name).read_bytes())
            if written(self._journal).get(name) != digest:
                self._journal.append({"event": "file", "name": name, "sha256": digest})

    def read_json(self, name: str) -> Any:
        """Read what ``write_json`` wrote.

        Raises:
            RunError: the file is missing or not as it was written.
        """
        return json.loads(read_file(self.path, name))

    def read_tensors(self, name: str) -> dict[str, Tensor]:
        """Read what ``write_tensors`` wrote; errors as ``read_json``."""
        return safetensors.torch.load(read_file(self.path, name))

    def finish(self) -> None:
        """Mark the run as complete."""
        if not self.finished:
            self._journal.append({"event": "finished"})

    @property
    def finished(self) -> bool:
        """Whether ``finish`` was reached and every file written is still as it was.

        A finished run with a damaged file is not finished: running it again is quick, all units are
        remembered, and writes the file anew.
        """
        if not any(entry.get("event") == "finished" for entry in self._journal.events):
            return False
        changed = damaged(self.path, self._journal)
        for name in changed:
            self._tell(f"{self.path / name} is missing or was changed; it is written again")
        return not changed

    def close(self) -> None:
        """Let other processes open the run."""
        end_work(self.path)
        self._lock.release()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if isinstance(error, KeyboardInterrupt) and not isinstance(error, RunInterrupted):
            raise RunInterrupted(self.path) from error

    def _stored(self, name: str, entry: Mapping[str, Any]) -> Result | None:
        digest = entry["tensors"]
        if digest is None:
            return Result(entry["facts"]).settled(name)
        file = self._tensor_file(name)
        if not intact(file, digest):
            self._tell(f"{file} is missing or damaged; unit '{name}' is computed again")
            return None
        return Result(entry["facts"], safetensors.torch.load(file.read_bytes())).settled(name)

    def _tensor_file(self, name: str) -> Path:
        return self.path / "checkpoints" / f"{name}.safetensors"



def _check(path: Path, journal: Journal) -> None:
    if not journal.events or journal.events[0].get("event") != "created":
        raise RunError(f"{path / 'journal.jsonl'} has no readable first line, so nothing can be resumed; search again")
    first = journal.events[0]
    if first["format"] != FORMAT:
        raise RunError(f"{path} has run format {first['format']}, this version of fusionnas reads {FORMAT}")
    if not intact(path / "space.yaml", first["space"]):
        raise RunError(
            f"{path / 'space.yaml'} is missing or was changed after the run began; put it back as it was, "
            "or start a new search with the changed space"
        )


def _log(message: str) -> None:
    logging.getLogger("fusionnas").warning(message)
