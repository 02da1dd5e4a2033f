"""A worker process: receives calls over a socket, sends their ends back, and ends with the process that started it.

It is no copy of that process: a script needs no ``if __name__ == "__main__":`` to use workers.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import queue
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from fusionnas.execution.carry import failure_of
from fusionnas.execution.guard import guarded
from fusionnas.execution.shared import fetch

READY = "ready"


def main(descriptor: int, trace: str, plugins: Sequence[str]) -> None:
    """Serve until the other end of the socket closes."""
    faulthandler.enable()
    connection = Connection(descriptor)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, inbox), daemon=True).start()
    import torch

    from fusionnas.registry import load_plugin

    torch.set_num_threads(1)
    for plugin in plugins:
        load_plugin(Path(plugin))
    connection.send_bytes(pickle.dumps(READY))
    while True:
        failed = _serve(connection, inbox.get(), Path(trace))
        if failed:
            os._exit(0)  # A task beyond its limits still runs here.


def _serve(connection: Connection, message: bytes, trace: Path) -> bool:
    try:
        function, arguments, limits = pickle.loads(message)
        arguments = [fetch(*a.place) if isinstance(a, Handle) else a for a in arguments]
    except Exception as error:
        connection.send_bytes(pickle.dumps((None, failure_of(error))))
        return False
    value, failure = guarded(function, arguments, limits, trace)
    try:
        answer = pickle.dumps((value, failure), protocol=5)
    except Exception as error:
        answer = pickle.dumps((None, failure_of(error)))
    connection.send_bytes(answer)
    return failure is not None and failure.kind in ("time", "memory")


class Handle:
    """Stands for a Shared value in a message: (key, file)."""

    def __init__(self, place: tuple[str, Path]) -> None:
        self.place = place


def _receive(connection: Connection, inbox: queue.SimpleQueue[bytes]) -> None:
    """Ends this process when the one that started it is gone; what it was doing is done again on resume."""
    try:
        while True:
            inbox.put(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)


def command(descriptor: int, trace: Path, plugins: Sequence[str]) -> list[str]:
    """The command line of a worker that imports what this process would import."""
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; from fusionnas.execution.worker import main; "
        f"main({descriptor}, {str(trace)!r}, {list(plugins)!r})"
    )
    return [sys.executable, *_flags(), "-c", program]


def _flags() -> list[str]:
    return [f"-W{option}" for option in sys.warnoptions]
