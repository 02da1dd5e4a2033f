"""Benchmarks: a name -> a function that measures and writes a table that anyone can make again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from fusionnas.errors import InputError
from fusionnas.registry import Registry
from fusionnas.run.files import check_writable, write_csv
from fusionnas.run.progress import Progress


class Benchmark(Protocol):
    """A registered benchmark: measures, writes ``output``, returns the rows."""

    def __call__(self, output: Path, *, seed: int, workers: int, progress: Progress) -> list[dict[str, Any]]:
        """Run it with ``workers`` processes."""


benches: Registry[Benchmark] = Registry("benchmark", "fusionnas.bench")


def register_bench(name: str) -> Callable[[Benchmark], Benchmark]:
    """Decorator: make a benchmark known to ``fusionnas bench``."""
    return benches.register(name)


def run_bench(
    name: str, output: Path, words: Sequence[str], *, seed: int, workers: int, progress: Progress
) -> list[dict[str, Any]]:
    """Run a benchmark; ``words`` are for those that ask for some.

    Raises:
        InputError: this one asks for none; ``output`` cannot be written.
    """
    benchmark: Callable[..., list[dict[str, Any]]] = benches[name]
    asks = "words" in inspect.signature(benchmark).parameters
    if words and not asks:
        raise InputError(f"fusionnas bench {name}: given '{' '.join(words)}', expected nothing after the name")
    check_writable(output)
    more = {"words": words} if asks else {}
    return benchmark(output, seed=seed, workers=workers, progress=progress, **more)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of equal keys as CSV, written atomically."""
    write_csv(path, rows)
