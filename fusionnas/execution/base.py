"""What an executor is: tasks in, their ends out, in whatever order they end.

A task is a pure function of its arguments, so no result depends on the executor, on the number of workers or on the
order in which tasks end; those who use one put results back into their own order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

ATTEMPTS = 3
"""A task that took its worker down as often as this is not tried again."""


@dataclass(frozen=True)
class Limits:
    """What one task may use; beyond it the task fails, and its worker is replaced.

    Attributes:
        seconds: of wall clock; None: no limit. Needs worker processes.
        memory: bytes that its process may hold, beyond which the task fails; None: no limit. Needs worker processes.
    """

    seconds: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Call:
    """One task: ``function(*arguments)`` in some worker.

    Attributes:
        name: for people; unique among the tasks that are under way.
        function: defined at the top of a module, so that a worker can import it.
        arguments: values that can be pickled; a :class:`~fusionnas.execution.shared.Shared` among them arrives as
            its value, and travels to each worker once.
        limits: see :class:`Limits`.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    limits: Limits = Limits()


@dataclass(frozen=True)
class Failure:
    """Why a task has no value.

    Attributes:
        kind: it raised an ``error``; it took its worker down ``ATTEMPTS`` times (``died``); it went beyond its
            limit of ``time`` or ``memory``; it was asked to stop, and has saved its state (``stopped``).
        text: one line for people.
        traceback: where it was, as far as known.
    """

    kind: Literal["error", "died", "time", "memory", "stopped"]
    text: str
    traceback: str


@dataclass(frozen=True)
class Ended:
    """A task that has ended: with a value, or with a failure."""

    call: Call
    value: Any = None
    failure: Failure | None = None


@dataclass
class Attempt:
    """A call that is queued or under way, and how many workers it has taken down."""

    call: Call
    deaths: int = 0

    def died(self, how: str, traceback: str) -> Ended | None:
        """One more worker is gone: None, and the call is to be tried again; or its end."""
        self.deaths += 1
        if self.deaths < ATTEMPTS:
            return None
        text = f"took its worker process down {self.deaths} times: {how}"
        return Ended(self.call, None, Failure("died", text, traceback))


class Executor(Protocol):
    """Runs tasks, ``workers`` at a time. One thread uses it."""

    @property
    def workers(self) -> int:
        """Tasks that run at the same time."""

    @property
    def running(self) -> Sequence[str]:
        """The names of the tasks that workers are at."""

    def submit(self, call: Call) -> None:
        """Queue a task."""

    def wait(self) -> Ended:
        """The next task that has ended; blocks until one has. Only while tasks are under way.

        Raises:
            FusionNASError: workers cannot be kept alive.
        """

    def reaches(self, folder: Path) -> bool:
        """Whether every worker sees the files in ``folder``."""

    def vacate(self) -> bool:
        """Let idle workers of a Ray cluster go, so that others find room; whether there is a cluster.

        Only while no task is under way.
        """

    def drop(self) -> None:
        """Forget all tasks that are queued or under way."""

    def close(self) -> None:
        """End the workers at once; more than once is fine."""


def completed(
    executor: Executor, calls: Iterable[Call], *, halt: Callable[[], bool] = lambda: False
) -> Generator[Ended, None, None]:
    """The ends of all calls, as they end; calls are drawn as workers need them.

    An iteration that is given up (close the generator) drops what is left.

    Args:
        executor: where they run.
        calls: the tasks.
        halt: once it is true, no more calls are drawn.
    """
    source, open_calls = iter(calls), 0
    try:
        while True:
            # One call more than workers: whoever becomes idle finds work at once.
            while open_calls <= executor.workers and not halt() and (call := next(source, None)) is not None:
                executor.submit(call)
                open_calls += 1
            if not open_calls:
                return
            ended = executor.wait()
            open_calls -= 1
            yield ended
    finally:
        executor.drop()
