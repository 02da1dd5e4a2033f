"""Tasks in worker processes of this machine: the default, without any server.

A worker that dies is replaced and its task tried again, from its last checkpoint if it keeps one; a task that took
``ATTEMPTS`` workers down is given up, the others go on.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

from fusionnas.execution.base import Call, Ended
from fusionnas.execution.crew import Crew, Member
from fusionnas.execution.scratch import scratch_folder
from fusionnas.execution.shared import Shared
from fusionnas.execution.worker import READY, Handle, command


@dataclass
class _Worker(Member):
    """One process."""

    process: subprocess.Popen[bytes]
    connection: Connection
    trace: Path
    log: Path


class LocalExecutor(Crew[_Worker]):
    """Worker processes, started at the first task and kept until ``close``.

    Args:
        workers: how many.
        plugins: Python files that every worker imports first.
    """

    def __init__(self, workers: int, plugins: Sequence[str] = ()) -> None:
        super().__init__()
        self._workers = workers
        self._plugins = tuple(plugins)
        self._folder: Path | None = None
        self._hired = 0

    @property
    def workers(self) -> int:
        """Tasks that run at the same time."""
        return self._workers

    def wait(self) -> Ended:
        """The next task that has ended; workers that died meanwhile are replaced.

        Raises:
            FusionNASError: workers die before they are ready.
        """
        while True:
            ready = wait([worker.connection for worker in self._crew])
            for worker in [worker for worker in self._crew if worker.connection in ready]:
                ended = self._hear(worker)
                self._deal()
                if ended is not None:
                    return ended

    def reaches(self, folder: Path) -> bool:
        """They do: one machine."""
        return True

    def vacate(self) -> bool:
        """No cluster."""
        return False

    def close(self) -> None:
        """End the workers at once."""
        for worker in self._crew:
            worker.process.kill()
        for worker in self._crew:
            worker.process.wait()
            worker.connection.close()
        self._crew.clear()
        self._queue.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _hand(self, worker: _Worker, call: Call) -> None:
        arguments = [Handle((a.key, a.file())) if isinstance(a, Shared) else a for a in call.arguments]
        with suppress(OSError):  # A worker that is dead is heard of in wait.
            worker.connection.send_bytes(pickle.dumps((call.function, arguments, call.limits), protocol=5))

    def _hire(self) -> None:
        if self._folder is None:
            self._folder = scratch_folder()
        ours, theirs = Pipe()
        trace, log = self._folder / f"{self._hired}.trace", self._folder / f"{self._hired}.log"
        with log.open("wb") as output:
            # A session of its own: Ctrl-C in the terminal is for the search, which ends its workers itself.
            process = subprocess.Popen(
                command(theirs.fileno(), trace, self._plugins), pass_fds=[theirs.fileno()], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        theirs.close()
        self._hired += 1
        self._crew.append(_Worker(process, ours, trace, log))

    def _hear(self, worker: _Worker) -> Ended | None:
        try:
            message: Any = pickle.loads(worker.connection.recv_bytes())
        except (EOFError, OSError):
            return self._bury(worker)
        if message == READY:
            self._born(worker)
            return None
        value, failure = message
        attempt, worker.attempt = worker.attempt, None
        worker.trace.unlink(missing_ok=True)
        assert attempt is not None
        return None if worker.dropped else Ended(attempt.call, value, failure)

    def _bury(self, worker: _Worker) -> Ended | None:
        worker.connection.close()
        self._crew.remove(worker)
        how = _how(_status(worker.process))
        return self._lost(worker, how, _text(worker.log) + _text(worker.trace))


def _status(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        return None


def _how(code: int | None) -> str:
    """How a process ended, for people."""
    if code is None:
        return "it closed its connection"
    if code >= 0:
        return f"it ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"it was killed by {name}" + (", as when memory runs out" if name == "SIGKILL" else "")


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="replace")[-8000:]
    return ""
