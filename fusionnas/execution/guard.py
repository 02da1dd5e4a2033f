"""A task within its limits: carried out in a thread, while this one watches the clock, the memory, and where it is."""

from __future__ import annotations

import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fusionnas.execution.base import Failure, Limits
from fusionnas.execution.carry import carry_out

TICK = 0.1  # seconds between two looks
TRACE_EVERY = 5  # ticks between two notes of where the task is
_STATM = Path("/proc/self/statm")


def guarded(
    function: Callable[..., Any], arguments: Sequence[Any], limits: Limits, trace: Path | None = None
) -> tuple[Any, Failure | None]:
    """As ``carry_out``, within ``limits``; for worker processes: a task beyond them goes on until its process ends.

    Args:
        function, arguments: the task.
        limits: see :class:`Limits`.
        trace: file that receives the task's stack now and then, for whoever finds this process dead.
    """
    outcome: list[tuple[Any, Failure | None]] = []

    def work() -> None:
        import torch

        # One thread for every number: the same bits with any number of workers.
        torch.set_num_threads(1)
        outcome.append(carry_out(function, arguments))

    thread = threading.Thread(target=work, daemon=True)
    begun, tick = time.monotonic(), 0
    thread.start()
    while not outcome:
        thread.join(TICK)
        if not thread.is_alive():
            break
        if (failure := _beyond(limits, time.monotonic() - begun)) is not None:
            return None, Failure(failure.kind, failure.text, _stack(thread))
        if trace is not None and tick % TRACE_EVERY == 0:
            with suppress(OSError):
                trace.write_text(_stack(thread))
        tick += 1
    if not outcome:
        return None, Failure("error", "the task ended its thread without a value", "")
    return outcome[0]


def _beyond(limits: Limits, seconds: float) -> Failure | None:
    if limits.seconds is not None and seconds > limits.seconds:
        return Failure("time", f"took longer than its limit of {limits.seconds:g} s", "")
    if limits.memory is not None and (held := held_memory()) > limits.memory:
        return Failure("memory", f"held {held / 1e9:.2f} GB, its limit is {limits.memory / 1e9:.2f} GB", "")
    return None


def held_memory() -> int:
    """Bytes that this process holds in memory; where the system does not say, the most that it ever held."""
    try:
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _stack(thread: threading.Thread) -> str:
    """Where the task is, from its own first line on."""
    frame = sys._current_frames().get(thread.ident or 0)
    lines = traceback.extract_stack(frame) if frame is not None else []
    own = next((i + 1 for i, line in enumerate(lines) if line.name == carry_out.__name__), 0)
    return "".join(traceback.format_list(lines[own:]))
