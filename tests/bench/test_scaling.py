"""The shapes that the scaling benchmark simulates do what they say."""

from __future__ import annotations

import pytest

from fusionnas.bench.scaling import train
from fusionnas.bench.shapes import WORLD, batches, evolution, halving, independent, rung_cost, rungs, simulate
from fusionnas.execution.simulated import SimulatedExecutor


def measured(controller, workers: int, tasks: int, **options):
    return simulate(controller, SimulatedExecutor(workers, WORLD, seed=0, free=True, **options), tasks)


def test_rungs_keep_one_in_three() -> None:
    assert [len(members) for members in rungs(4000)] == [2666, 888, 296, 98]


def test_every_shape_runs_all_its_tasks() -> None:
    for controller in (independent, batches(64), evolution(32)):
        assert measured(controller, 8, 500).candidates == 500
    assert measured(halving, 8, 500, cost=rung_cost).candidates == sum(map(len, rungs(500)))


def test_waiting_costs_workers_their_time() -> None:
    free = measured(independent, 64, 6400)
    assert 0.85 < free.efficiency <= 1.05
    assert measured(batches(64), 64, 6400).efficiency < 0.5
    assert 0.75 < measured(evolution(256), 64, 6400).efficiency <= free.efficiency + 0.05


def test_a_training_of_the_benchmark_learns() -> None:
    assert train(0) == train(0) != train(1) and train(0) < 1e-3


@pytest.mark.slow
def test_the_table(tmp_path) -> None:
    from fusionnas.bench import benches
    from fusionnas.run.progress import QuietProgress

    rows = benches["scaling"](tmp_path / "s.csv", seed=0, workers=2, progress=QuietProgress(stages=False))
    large = [row for row in rows if row["workers"] == 1000 and row["lost_to_controller"] != ""]
    assert large and all(float(row["lost_to_controller"]) < 0.05 for row in large)
    before, after = (float(row["memory_mb"]) for row in rows if row["memory_mb"] != "")
    assert after < 1.15 * before
