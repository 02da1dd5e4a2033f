"""Fronts, crowding, knee and hypervolume, against definitions and hand-made cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fusionnas.search.pareto import best, crowding, dominates, hypervolume, knee, ranks, thinned

STAIRS = [(0.0, 4.0), (1.0, 2.0), (2.0, 1.0), (4.0, 0.0)]


def test_ranks_peel_front_after_front() -> None:
    points = [*STAIRS, (1.0, 3.0), (2.0, 2.0), (3.0, 3.0), (1.0, 2.0)]
    assert ranks(points) == [0, 0, 0, 0, 1, 1, 2, 0]
    assert best(points) == [0, 1, 2, 3, 7]
    assert dominates((1, 2), (1, 3)) and not dominates((1, 2), (1, 2)) and not dominates((1, 3), (2, 2))


def test_crowding_is_infinite_at_the_ends_and_scaled_between() -> None:
    assert crowding(STAIRS) == [math.inf, 2 / 4 + 3 / 4, 3 / 4 + 2 / 4, math.inf]
    assert crowding([(1.0, 1.0)]) == [0.0]


def test_thinning_keeps_the_best_first_value_and_spreads() -> None:
    line = [(x, 10 - x) for x in (0.0, 0.1, 0.2, 5.0, 10.0)]
    assert thinned(line, 3) == [0, 3, 4]
    assert thinned(line, 1) == [0] and thinned(line, 9) == [0, 1, 2, 3, 4]


def test_the_knee_is_where_little_more_of_one_costs_much_of_the_other() -> None:
    assert knee([(0.20, 50_000), (0.21, 9_000), (0.60, 1_000)]) == 1
    assert knee([(0.3, 5.0)]) == knee([(0.3,)]) == 0
    # Three costs that go together do not outvote the score.
    assert knee([(0.2, 7_000, 7_000, 7_000), (0.9, 50, 50, 50), (0.21, 6_000, 6_000, 6_000)]) == 2


def test_hypervolume_of_hand_made_cases() -> None:
    assert hypervolume(STAIRS, (0, 0), (5, 5)) == pytest.approx((1 * 1 + 1 * 3 + 2 * 4 + 1 * 5) / 25)
    assert hypervolume([(0.0, 0.0, 0.0)], (0, 0, 0), (1, 2, 3)) == 1.0
    assert hypervolume([(0.5, 1.0, 1.5)], (0, 0, 0), (1, 2, 3)) == pytest.approx(0.125)
    assert hypervolume([(0.5, 7.0)], (0, 7), (1, 7)) == 0.5  # no extent in the second value
    assert hypervolume([(1.0,)], (1,), (1,)) == 0.0


def test_hypervolume_in_three_dimensions_agrees_with_counting() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((12, 3))
    samples = rng.random((200_000, 3))
    counted = (points[None] <= samples[:, None]).all(-1).any(-1).mean()
    assert hypervolume(points.tolist(), (0, 0, 0), (1, 1, 1)) == pytest.approx(float(counted), abs=5e-3)
