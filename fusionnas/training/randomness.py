"""Randomness: every stream is derived from the run's seed and a name; nothing draws from a shared one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, *names: object) -> int:
    """A seed for one purpose: a pure function of the run's seed and the names, the same in every process."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch's global generator (initialisation, dropout) starts from ``seed``; outside it is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for every number: results then depend neither on the machine's cores nor on the number of workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
