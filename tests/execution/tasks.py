"""What the conformance suite makes workers do."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def square(number: int) -> int:
    return number * number


def square_slowly(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return number * number


def total(values) -> float:
    """Of a shared dictionary of tensors and arrays."""
    return float(sum(value.sum() for value in values.values()))


def scribble(values) -> float:
    """Changes its copy of a shared value, which is nobody else's."""
    values["tensor"].add_(1)
    return float(values["tensor"].sum())


def refuse(number: int) -> int:
    raise ValueError(f"{number} is refused")


def die(folder: Path, times: int) -> int:
    """Takes its process down at the first ``times`` attempts, then says how often it was tried."""
    tries = len(list(folder.iterdir()))
    (folder / str(tries)).touch()
    if tries < times:
        os.kill(os.getpid(), signal.SIGKILL)
    return tries + 1


def say(file: Path) -> int:
    file.touch()
    return os.getpid()


def spin() -> None:
    while True:
        pass


def hoard(size: int) -> None:
    held = bytearray(os.urandom(1000) * (size // 1000))
    while held:
        pass


def unsendable():
    import threading

    return threading.Lock()


def threads() -> int:
    import torch

    return torch.get_num_threads()
