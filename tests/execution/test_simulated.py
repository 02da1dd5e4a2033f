from __future__ import annotations

import pytest

from fusionnas.execution import Call, completed
from fusionnas.execution.simulated import SimulatedExecutor, World
from tests.execution import tasks

STEADY = World(seconds=10.0, spread=0.0, stragglers=0.0)


def ends(executor: SimulatedExecutor, count: int) -> list[int]:
    return [ended.value for ended in completed(executor, (Call(str(n), tasks.square, (n,)) for n in range(count)))]


def test_made_up_time_goes_on_by_rounds() -> None:
    executor = SimulatedExecutor(5, STEADY, seed=0, free=True)
    assert sorted(ends(executor, 20)) == [n * n for n in range(20)]
    assert executor.clock == 40 and executor.worked == 200


def test_the_time_of_the_controller_passes_too() -> None:
    world = World(seconds=1e-6, spread=0.0, stragglers=0.0)
    executor, free = SimulatedExecutor(1, world, seed=0), SimulatedExecutor(1, world, seed=0, free=True)
    ends(executor, 200)
    ends(free, 200)
    assert free.clock == pytest.approx(200e-6)
    # Where the controller is always slower than a task, its time is all there is.
    assert executor.clock >= executor.controller > 20e-6 and executor.clock > free.clock


def test_a_dead_worker_is_replaced_and_its_task_tried_again_or_given_up() -> None:
    executor = SimulatedExecutor(3, World(deaths=0.3), seed=1, free=True)
    found = list(completed(executor, (Call(str(n), tasks.square, (n,)) for n in range(200))))
    lost = [ended.failure.kind for ended in found if ended.failure]
    assert len(found) == 200 and executor.lost > 30
    assert 0 < len(lost) < 20 and set(lost) == {"died"}


def test_the_same_seed_gives_the_same_times() -> None:
    first, again, other = (SimulatedExecutor(4, World(), seed=seed, free=True) for seed in (1, 1, 2))
    assert ends(first, 50) == ends(again, 50)
    ends(other, 50)
    assert first.clock == again.clock != other.clock


def test_stragglers_and_costs_make_tasks_longer() -> None:
    world = World(seconds=10.0, spread=0.0, stragglers=0.1, slower=10.0)
    executor = SimulatedExecutor(1, world, seed=1, cost=lambda call: 2.0, free=True)
    ends(executor, 2000)
    assert executor.worked == pytest.approx(2000 * 2 * world.mean, rel=0.1)
    assert world.mean == pytest.approx(19.0)
