"""What executors with workers have in common: a queue, who is at what, and what a dead worker costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from fusionnas.errors import FusionNASError
from fusionnas.execution.base import Attempt, Call, Ended

_UNBORN = 3  # workers that may die one after the other before any of them was ready


@dataclass(kw_only=True)
class Member:
    """One worker.

    Attributes:
        ready: whether it has said so.
        attempt: what it works on; None: idle.
        dropped: nobody waits for what it does.
    """

    ready: bool = False
    attempt: Attempt | None = None
    dropped: bool = False


M = TypeVar("M", bound=Member)


class Crew(ABC, Generic[M]):
    """Deals tasks to workers; whoever extends it knows how to hire one, and how to hand it a task."""

    def __init__(self) -> None:
        self._queue: deque[Attempt] = deque()
        self._crew: list[M] = []
        self._unborn = 0

    @property
    @abstractmethod
    def workers(self) -> int:
        """Tasks that run at the same time."""

    @abstractmethod
    def _hire(self) -> None:
        """One more worker, which says later that it is ready."""

    @abstractmethod
    def _hand(self, worker: M, call: Call) -> None:
        """Send a task to an idle worker."""

    @property
    def running(self) -> Sequence[str]:
        """The names of the tasks that workers are at."""
        return [worker.attempt.call.name for worker in self._crew if worker.attempt is not None]

    def submit(self, call: Call) -> None:
        """Queue a task; an idle worker begins at once."""
        self._queue.append(Attempt(call))
        self._deal()

    def drop(self) -> None:
        """Forget all tasks. A worker that is at one finishes it for nobody; ``close`` ends it at once."""
        self._queue.clear()
        for worker in self._crew:
            worker.dropped = worker.attempt is not None

    def _deal(self) -> None:
        """Give queued tasks to idle workers; hire as many as the queue needs."""
        starting = sum(not worker.ready for worker in self._crew)
        idle = [worker for worker in self._crew if worker.ready and worker.attempt is None]
        for _ in range(min(len(self._queue) - len(idle) - starting, self.workers - len(self._crew))):
            self._hire()
        for worker in idle:
            if not self._queue:
                return
            worker.attempt, worker.dropped = self._queue.popleft(), False
            self._hand(worker, worker.attempt.call)

    def _born(self, worker: M) -> None:
        """A worker is ready."""
        worker.ready, self._unborn = True, 0

    def _lost(self, worker: M, how: str, traceback: str, *, blamed: bool = True) -> Ended | None:
        """A worker is gone: its task goes back to the head of the queue, or has failed if it is to be ``blamed``.

        Raises:
            FusionNASError: several were gone before they were ready.
        """
        if not worker.ready:
            self._unborn += 1
            if self._unborn >= _UNBORN:
                raise FusionNASError(f"worker processes do not start: {how}\n{traceback}".rstrip())
        attempt = worker.attempt
        if attempt is None or worker.dropped:
            return None
        ended = attempt.died(how, traceback) if blamed else None
        if ended is None:
            self._queue.appendleft(attempt)
        return ended
