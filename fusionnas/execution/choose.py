"""The executor that a command asks for."""

from __future__ import annotations

from collections.abc import Sequence

from fusionnas.execution.base import Executor
from fusionnas.execution.inline import InlineExecutor


def make_executor(workers: int, *, plugins: Sequence[str] = ()) -> Executor:
    """One worker is this process itself; more are processes of this machine."""
    if workers == 1:
        return InlineExecutor()
    from fusionnas.execution.local import LocalExecutor

    return LocalExecutor(workers, plugins)
