"""The executor that a command asks for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from fusionnas.execution.base import Executor
from fusionnas.execution.inline import InlineExecutor


def make_executor(
    workers: int | None,
    *,
    ray: str | None = None,
    gpus: float = 0.0,
    plugins: Sequence[str] = (),
    tell: Callable[[str], None] | None = None,
) -> Executor:
    """Where tasks run.

    Args:
        workers: at the same time. One is this process itself, more are processes; None: one, or on a Ray cluster as
            many as it has room for.
        ray: ``local``, ``auto`` or HOST:PORT: a Ray cluster; None: this machine, without a server.
        gpus: share of a GPU per worker, on a Ray cluster.
        plugins: Python files that every worker imports first.
        tell: hears what a cluster cost to join.

    Raises:
        InputError: the Ray cluster cannot be joined.
    """
    if ray is not None:
        from fusionnas.distributed.connection import connect

        # Settings of Ray hold only if they are made before it is imported.
        connection = connect(ray, workers=workers)
        from fusionnas.distributed.executor import RayExecutor

        if tell is not None:
            tell(f"Ray is ready after {connection.seconds:.1f} s")
        return RayExecutor(connection, workers=workers, gpus=gpus, plugins=plugins)
    if workers is None or workers == 1:
        return InlineExecutor()
    from fusionnas.execution.local import LocalExecutor

    return LocalExecutor(workers, plugins)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
