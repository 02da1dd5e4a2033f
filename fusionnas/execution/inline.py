"""Tasks one after the other in this process: no server, no copies, ready at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from fusionnas.execution.base import Call, Ended
from fusionnas.execution.carry import carry_out
from fusionnas.execution.shared import Shared


class InlineExecutor:
    """Runs a task when its end is asked for. A task that takes the process down takes the search down; limits of
    time and memory need worker processes and are not kept here."""

    workers = 1

    def __init__(self) -> None:
        self._queue: deque[Call] = deque()

    @property
    def running(self) -> Sequence[str]:
        """The task that is at work, or comes next."""
        return [call.name for call in self._queue][:1]

    def submit(self, call: Call) -> None:
        """Queue a task."""
        self._queue.append(call)

    def wait(self) -> Ended:
        """Run the oldest task."""
        call = self._queue[0]
        arguments = [a.value if isinstance(a, Shared) else a for a in call.arguments]
        outcome = carry_out(call.function, arguments)
        self._queue.popleft()
        return Ended(call, *outcome)

    def reaches(self, folder: Path) -> bool:
        """It does."""
        return True

    def vacate(self) -> bool:
        """No cluster."""
        return False

    def drop(self) -> None:
        """Forget all tasks that are queued."""
        self._queue.clear()

    def close(self) -> None:
        """Nothing to end."""
