"""Members of a population: who goes on from whom, with which values."""

from __future__ import annotations

import math
import random

import pytest

from fusionnas.space.schema import Range
from fusionnas.studies.population import Population

RANGES = {"rate": Range(low=1e-4, high=1e-1, log=True), "depth": Range(low=1, high=4), "method": ("a", "b", "c")}


def after_one(losses: list[float | None], seed: int = 0) -> Population:
    population = Population(len(losses), 2, seed=seed)
    for number in range(len(losses)):
        assert population.next(last=False) == (number, 0)
    order = list(range(len(losses)))
    random.Random(seed).shuffle(order)
    for number in order:
        assert population.next(last=False) is None
        population.observe(number, 0, losses[number])
    return population


def test_the_worst_quarter_goes_on_from_the_best_quarter() -> None:
    population = after_one([0.8, 0.1, 0.7, 0.3, 0.2, 0.4, 0.5, 0.6])
    found = [population.next(last=False) for _ in range(8)]
    assert found == [(number, 1) for number in range(8)] and population.next(last=True) is None
    parents = [population.parent(number, 1) for number in range(8)]
    assert parents[1:2] + parents[3:] == [1, 3, 4, 5, 6, 7]
    assert parents[0] in (1, 4) and parents[2] in (1, 4)
    assert {after_one([0.8, 0.1, 0.7, 0.3, 0.2, 0.4, 0.5, 0.6], seed).parent(0, 1) for seed in range(20)} == {1, 4}


def test_who_failed_goes_on_from_one_that_did_not() -> None:
    population = after_one([None, None, 0.5, None])
    assert [population.parent(number, 1) for number in range(4)] == [2, 2, 2, 2]
    assert after_one([None, None]).next(last=True) is None
    assert after_one([0.5]).parent(0, 1) == 0


def test_values_change_a_little_or_are_drawn_anew_within_their_ranges() -> None:
    population, values = Population(400, 2, seed=1), {"rate": 0.01, "depth": 3, "method": "a"}
    found = [population.explored(values, RANGES, number, 1) for number in range(400)]
    assert found == [Population(400, 2, seed=1).explored(values, RANGES, number, 1) for number in range(400)]
    assert all(1e-4 <= one["rate"] <= 1e-1 for one in found)
    assert all(isinstance(one["depth"], int) and 1 <= one["depth"] <= 4 for one in found)
    near = [one for one in found if one["rate"] == pytest.approx(0.008) or one["rate"] == pytest.approx(0.012)]
    assert 260 < len(near) < 340  # three in four
    assert sum(one["rate"] < math.sqrt(1e-4 * 1e-1) for one in found) > 25  # drawn by order of magnitude
    assert {one["method"] for one in found} == {"a", "b", "c"}
    assert sum(one["method"] == "c" for one in found) < 60  # never a neighbour of a
