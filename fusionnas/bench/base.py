"""Benchmarks: a name -> a function that measures and writes a table that anyone can make again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from fusionnas.registry import Registry
from fusionnas.run.files import write_csv
from fusionnas.run.progress import Progress


class Benchmark(Protocol):
    """A registered benchmark: measures, writes ``output``, returns the rows."""

    def __call__(self, output: Path, *, seed: int, workers: int, progress: Progress) -> list[dict[str, Any]]:
        """Run it with ``workers`` processes."""


benches: Registry[Benchmark] = Registry("benchmark", "fusionnas.bench")


def register_bench(name: str) -> Callable[[Benchmark], Benchmark]:
    """Decorator: make a benchmark known to ``fusionnas bench``."""
    return benches.register(name)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of equal keys as CSV, written atomically."""
    write_csv(path, rows)
