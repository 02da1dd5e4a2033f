"""Randomness: every stream is derived from the run's seed and a name; nothing draws from a shared one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def derive(seed: int, *names: object) -> int:
    """A seed for one purpose: a pure function of the run's seed and the names, the same in every process."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch's global generators (initialisation, dropout) start from ``seed``; outside they are untouched."""
    with unchanged():
        torch.manual_seed(seed)
        yield


@contextmanager
def unchanged() -> Iterator[None]:
    """After it, torch's global generators stand where they stood: the CPU's, and GPUs' where CUDA is in use."""
    gpus = torch.cuda.device_count() if torch.cuda.is_initialized() else 0
    with torch.random.fork_rng(devices=range(gpus)):
        yield


def random_state() -> dict[str, Tensor]:
    """Where torch's global generators stand, for a checkpoint: ``torch``, the CPU's; ``cuda``, where it is in use."""
    state = {"torch": torch.get_rng_state()}
    return {**state, "cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Go on from ``random_state``, also one that stands among other things."""
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state["cuda"])


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for every number: results then depend neither on the machine's cores nor on the number of workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
