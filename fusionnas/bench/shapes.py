"""The shapes that a search's work has, as controllers over simulated workers: who waits for whom.

What a candidate is worth is made up and costs nothing; the controllers are those of the product.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fusionnas.execution import Call, Ended, completed
from fusionnas.execution.simulated import SimulatedExecutor, World
from fusionnas.execution.steady import steady_state

Controller = Callable[[SimulatedExecutor, int], Iterator[Ended]]
RUNGS, RUNG = 4, 3  # one in three goes on, for three times as long


@dataclass(frozen=True)
class Measured:
    """One simulation.

    Attributes:
        efficiency: work that had to be done / time of all workers until the end.
        controller: real seconds of the controller per task.
        candidates: tasks that ended.
    """

    efficiency: float
    controller: float
    candidates: int


def simulate(
    controller: Controller,
    executor: SimulatedExecutor,
    tasks: int,
    keep: Callable[[int, Ended], None] = lambda count, ended: None,
) -> Measured:
    """Run a controller over ``tasks`` tasks to its end; ``keep`` is called with every end, and how many there were."""
    ended = 0
    for one in controller(executor, tasks):
        ended += 1
        keep(ended, one)
    work = ended * executor.world.mean * _weight(controller, tasks)
    return Measured(work / (executor.clock * executor.workers), executor.controller / ended, ended)


def independent(executor: SimulatedExecutor, tasks: int) -> Iterator[Ended]:
    """Seeds, folds, finalists, random search: nothing waits for anything."""
    yield from completed(executor, (Call(f"task {n}", _value, (n / tasks,)) for n in range(tasks)))


def batches(size: int) -> Controller:
    """Ask for ``size`` candidates, train them all, tell: the next batch waits for the last of this one."""

    def controller(executor: SimulatedExecutor, tasks: int) -> Iterator[Ended]:
        for first in range(0, tasks, size):
            numbers = range(first, min(first + size, tasks))
            yield from completed(executor, [Call(f"task {n}", _value, (n / tasks,)) for n in numbers])

    return controller


def halving(executor: SimulatedExecutor, tasks: int) -> Iterator[Ended]:
    """Rungs: one in three goes on for three times as long, when all of its rung have ended. Cost: ``rung_cost``."""
    alive = list(rungs(tasks)[0])
    for rung, survivors in enumerate(rungs(tasks)):
        alive = alive[: len(survivors)]
        yield from completed(executor, [Call(f"rung {rung} {n}", _value, (float(n),)) for n in alive])


def rungs(tasks: int) -> list[range]:
    """Members of every rung, about ``tasks`` of all rungs together."""
    first = tasks * (RUNG - 1) // RUNG
    return [range(max(1, first // RUNG**rung)) for rung in range(RUNGS)]


def rung_cost(call: Call) -> float:
    """How much longer than in the first rung."""
    return float(RUNG ** int(call.name.split()[1]))


def evolution(lag: int) -> Controller:
    """Steady state: a child as soon as a worker is idle, from all results but the last ``lag``."""

    def controller(executor: SimulatedExecutor, tasks: int) -> Iterator[Ended]:
        for _, ended in steady_state(executor, _Population(tasks), lag=lag):
            yield ended

    return controller


class _Population:
    """Regularised evolution over numbers between 0 and 1."""

    def __init__(self, total: int) -> None:
        self._total, self._rng = total, random.Random(0)
        self._alive: deque[float] = deque(maxlen=100)

    def propose(self, number: int) -> Call | None:
        if number == self._total:
            return None
        value = self._rng.random()
        if len(self._alive) == self._alive.maxlen:
            parent = max(self._rng.choice(self._alive) for _ in range(10))
            value = parent + 0.01 * (value - 0.5)
        return Call(f"child {number}", _value, (value,))

    def observe(self, number: int, ended: Ended) -> None:
        if ended.failure is None:
            self._alive.append(ended.value)


def _value(value: float) -> float:
    return value


def _weight(controller: Controller, tasks: int) -> float:
    """Mean cost of the controller's tasks."""
    if controller is not halving:
        return 1.0
    sizes = [len(members) for members in rungs(tasks)]
    return sum(size * float(RUNG**rung) for rung, size in enumerate(sizes)) / sum(sizes)


WORLD = World(seconds=10.0, spread=0.3, stragglers=0.01, slower=10.0, deaths=0.001, restart=5.0)
"""Tasks of ten seconds; one in a hundred takes ten times as long, one in a thousand takes its worker down."""
