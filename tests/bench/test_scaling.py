"""The shapes that the scaling benchmark simulates do what they say."""

from __future__ import annotations

import pytest

from fusionnas.bench.scaling import Sizes, local, simulated, train
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
    first = train(0, 100)
    assert first == train(0, 100) != train(1, 100) and first < train(0, 10)


def test_the_table_at_a_tiny_size() -> None:
    sizes = Sizes((1, 4), many=4, candidates=(20, 40), rounds=5, fewest=20, most=200, trainings=2, steps=5)
    rows = list(simulated(sizes, 0))
    assert len({tuple(row) for row in rows}) == 1
    assert [row["what"].split(":")[0] for row in rows].count("simulated") == 5 * 2 + 2
    shapes = [row for row in rows if row["lost_to_controller"] != ""]
    assert all(0 < float(row["efficiency"]) <= 1.6 and 0 <= float(row["lost_to_controller"]) <= 1 for row in shapes)
    assert [row["tasks"] for row in rows if row["memory_mb"] != ""] == [20, 40]


@pytest.mark.slow
def test_real_workers_at_a_tiny_size() -> None:
    rows = list(local(Sizes(trainings=2, steps=5)))
    alone, two = (row for row in rows if row["what"] == "local workers: trainings")
    assert alone["efficiency"] == "1.000" and float(two["per_second"]) > 0


@pytest.mark.slow
def test_the_table(tmp_path) -> None:
    from fusionnas.bench import benches
    from fusionnas.run.progress import QuietProgress

    rows = benches["scaling"](tmp_path / "s.csv", seed=0, workers=2, progress=QuietProgress(stages=False))
    large = [row for row in rows if row["workers"] == 1000 and row["lost_to_controller"] != ""]
    assert large and all(float(row["lost_to_controller"]) < 0.05 for row in large)
    before, after = (float(row["memory_mb"]) for row in rows if row["memory_mb"] != "")
    assert after < 1.15 * before
