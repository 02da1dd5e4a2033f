"""Benchmarks of the project, one file each; they write ``results/``."""

from fusionnas.bench.base import benches, register_bench, run_bench

__all__ = ["benches", "register_bench", "run_bench"]
