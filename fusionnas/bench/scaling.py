"""From one core to a thousand GPUs: what real workers gain here, and what controllers would cost there.

Real: trainings per second of one and of two workers, side by side; how long workers and a Ray cluster take to be ready.
Simulated (:mod:`fusionnas.execution.simulated`): efficiency and controller's time of every shape of search.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from fusionnas.bench.base import register_bench, write_table
from fusionnas.bench.shapes import WORLD, Controller, batches, evolution, halving, independent, rung_cost, simulate
from fusionnas.execution import Call, Ended, Executor, completed
from fusionnas.execution.guard import held_memory
from fusionnas.execution.local import LocalExecutor
from fusionnas.execution.simulated import SimulatedExecutor
from fusionnas.run import Result, Run
from fusionnas.run.progress import Progress
from fusionnas.space import SearchSpace
from fusionnas.training.randomness import seeded


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        workers: simulated.
        many: of them where memory and disk are looked at.
        candidates: of a driver with a journal, at which its memory is looked at.
        rounds: tasks per worker in a simulation.
        fewest: tasks of a simulation at least.
        most: tasks of the longest simulation, on ten times as many workers.
        trainings, steps: what real workers do.
    """

    workers: tuple[int, ...] = (1, 8, 64, 1000)
    many: int = 1000
    candidates: tuple[int, ...] = (10_000, 100_000)
    rounds: int = 100
    fewest: int = 2000
    most: int = 1_000_000
    trainings: int = 24
    steps: int = 1500


RAY_START = """
import time
begun = time.monotonic()
from fusionnas.execution import Call, completed, make_executor
executor = make_executor(2, ray="local")
assert [ended.value for ended in completed(executor, [Call("abs", abs, (-1,))])] == [1]
print(time.monotonic() - begun)
executor.close()
"""


@register_bench("scaling")
def scaling(output: Path, *, seed: int, workers: int, progress: Progress) -> list[dict[str, Any]]:
    """Real workers, simulated clusters, a million candidates, and the memory of a driver with 100,000."""
    sizes = Sizes()
    progress.stage("scaling", 6 + 5 * len(sizes.workers))
    rows = []
    for row in chain(local(sizes), ray_ready(), simulated(sizes, seed)):
        rows.append(row)
        progress.advance({key: row[key] for key in ("what", "workers")})
    write_table(output, rows)
    return rows


def simulated(sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    """Every shape of search on every number of workers; then what a journal costs its driver."""
    shapes: dict[str, tuple[Controller, Any]] = {"independent trainings": (independent, None)}
    shapes |= {"batches of 64": (batches(64), None), "halving, rungs wait": (halving, rung_cost)}
    for count in sizes.workers:
        steady = {f"evolution, lag {n} x workers": (evolution(n * count), None) for n in (2, 4)}
        tasks = max(sizes.rounds * count, sizes.fewest)
        for name, (controller, cost) in {**shapes, **steady}.items():
            yield _simulated(name, controller, count, tasks, seed=seed, cost=cost)
    yield _simulated("independent trainings", independent, 10 * sizes.many, sizes.most, seed=seed)
    yield _journaled(sizes.many, seed)
    yield from _memory(sizes, seed)


def _row(what: str, **values: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("workers", "tasks", "task_seconds", "seconds", "per_second", "efficiency", "controller_ms",
                           "lost_to_controller", "memory_mb"), "")  # fmt: skip
    return {"what": what, **empty, **values}


def local(sizes: Sizes) -> Iterator[dict[str, Any]]:
    """One and two worker processes: ready when, and how much faster two are."""
    speeds = {}
    for count in (1, 2):
        with contextlib.closing(LocalExecutor(count)) as executor:
            begun = time.monotonic()
            list(completed(executor, [Call("ready", os.getpid)]))
            ready = time.monotonic() - begun
            list(completed(executor, [Call(f"warm {n}", train, (n, sizes.steps)) for n in range(2 * count)]))
            speeds[count] = _speed(executor, sizes)
        yield _row("local workers: ready", workers=count, seconds=f"{ready:.2f}")
        yield _row("local workers: trainings", workers=count, tasks=sizes.trainings, per_second=f"{speeds[count]:.2f}",
                   efficiency=f"{speeds[count] / speeds[1] / count:.3f}")  # fmt: skip


def ray_ready() -> Iterator[dict[str, Any]]:
    """What a Ray cluster of one's own costs, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", RAY_START], capture_output=True, text=True, check=True)
    yield _row("Ray on this machine: ready", workers=2, seconds=f"{float(done.stdout):.2f}")


def _speed(executor: Executor, sizes: Sizes) -> float:
    begun = time.monotonic()
    ended = list(completed(executor, [Call(f"training {n}", train, (n, sizes.steps)) for n in range(sizes.trainings)]))
    assert not any(one.failure for one in ended)
    return len(ended) / (time.monotonic() - begun)


def train(seed: int, steps: int) -> float:
    """A training of so many steps: a small network on made-up numbers; its last loss."""
    generator = torch.Generator().manual_seed(seed)
    inputs, target = torch.randn(256, 32, generator=generator), torch.randn(256, 1, generator=generator)
    with seeded(seed):
        network = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.GELU(), torch.nn.Linear(64, 1))
    optimizer = torch.optim.AdamW(network.parameters())
    loss = torch.tensor(0.0)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (network(inputs) - target).square().mean()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def _simulated(
    name: str, controller: Controller, workers: int, tasks: int, *, seed: int, cost: Any = None
) -> dict[str, Any]:
    """The same simulation with the controller's real time, and with none: the difference is what it costs."""
    options = {} if cost is None else {"cost": cost}
    begun = time.monotonic()
    paid, free = (
        simulate(controller, SimulatedExecutor(workers, WORLD, seed=seed, free=free, **options), tasks)
        for free in (False, True)
    )
    return _row(
        f"simulated: {name}", workers=workers, tasks=paid.candidates, task_seconds=WORLD.seconds,
        seconds=f"{(time.monotonic() - begun) / 2:.1f}", efficiency=f"{paid.efficiency:.3f}",
        controller_ms=f"{1000 * paid.controller:.3f}",
        lost_to_controller=f"{max(0.0, 1 - paid.efficiency / free.efficiency):.4f}",
    )  # fmt: skip


def _memory(sizes: Sizes, seed: int) -> Iterator[dict[str, Any]]:
    """A driver that journals every candidate of an evolution: memory that it holds after so many."""
    held, many = dict[int, int](), sizes.many
    with _journal(Path("/dev/shm") if Path("/dev/shm").is_dir() else None) as keep:  # the disk is another matter

        def kept(count: int, ended: Ended) -> None:
            keep(count, ended)
            if count in sizes.candidates:
                held[count] = held_memory()

        simulate(evolution(4 * many), SimulatedExecutor(many, WORLD, seed=seed), sizes.candidates[-1], kept)
    for count, size in held.items():
        yield _row("driver with a journal: memory", workers=many, tasks=count, memory_mb=f"{size / 1e6:.0f}")


def _journaled(many: int, seed: int) -> dict[str, Any]:
    """What the controller costs if it syncs every result to the disk."""
    tasks = 10 * many
    free = simulate(evolution(4 * many), SimulatedExecutor(many, WORLD, seed=seed, free=True), tasks)
    with _journal(None) as keep:
        paid = simulate(evolution(4 * many), SimulatedExecutor(many, WORLD, seed=seed), tasks, keep)
    return _row(
        "simulated: evolution, lag 4 x workers, every result synced to disk", workers=many, tasks=tasks,
        task_seconds=WORLD.seconds, efficiency=f"{paid.efficiency:.3f}", controller_ms=f"{1000 * paid.controller:.3f}",
        lost_to_controller=f"{max(0.0, 1 - paid.efficiency / free.efficiency):.4f}",
    )  # fmt: skip


@contextlib.contextmanager
def _journal(place: Path | None) -> Iterator[Callable[[int, Ended], None]]:
    """A run in ``place``, and what puts an end into its journal."""
    with (
        tempfile.TemporaryDirectory(dir=place) as folder,
        Run.create(Path(folder) / "run", space=SearchSpace.load("ehr"), settings={}) as run,
    ):

        def keep(count: int, ended: Ended) -> None:
            run.keep(f"candidate/{count:06d}", Result({"loss": ended.value}))

        yield keep
