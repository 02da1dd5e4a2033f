"""Side by side in one process: contestants take turns in blocks, one thread, the allocator pinned.

A step timed right after another contestant's has that one's data in the cache; so each takes several steps per turn,
the first of them untimed. Memory given back to the system and fetched again costs whoever allocates next; so glibc is
told to keep it.
"""

from __future__ import annotations

import contextlib
import ctypes
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

import torch

BLOCKS = 7
SECONDS = 0.25
"""Per block."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt
_KEPT = 2**30


def alternated(
    contestants: Mapping[str, Callable[[], object]], *, blocks: int = BLOCKS, seconds: float = SECONDS
) -> dict[str, float]:
    """Processor seconds per call of each: medians over blocks of about ``seconds``."""
    pin_allocator()
    with one_thread():
        for run in contestants.values():
            run()
        calls = {name: max(1, round(seconds / _timed(run, 1))) for name, run in contestants.items()}
        found: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(blocks):
            for name, run in contestants.items():
                run()
                found[name].append(_timed(run, calls[name]) / calls[name])
    return {name: statistics.median(values) for name, values in found.items()}


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch computes on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def pin_allocator() -> bool:
    """Have this process keep what it frees; whether the system's allocator understands that."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(what, _KEPT) == 1 for what in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))


def _timed(run: Callable[[], object], calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        run()
    return max(time.process_time() - start, 1e-9)
