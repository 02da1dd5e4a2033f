"""What a budget leaves for ranking heads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fusionnas.run import Run
from fusionnas.run.unit import Checkpoint
from fusionnas.search.allowance import Allowance, Costs, first
from fusionnas.search.halving import Watch
from fusionnas.search.pool import Pool
from tests.search.test_budget import budget, fresh
from tests.search.test_contest import CONTEST, ranking
from tests.search.test_methods import SMALL, data, search, space
from tests.spaces import tiny_space

COSTS = Costs((3, 8), eta=6, keep=4, rescoring=24)


def test_costs_of_halving_count_who_trains_anew() -> None:
    assert COSTS.halving(60) == 60 * 3 + 10 * 8
    assert COSTS.halving(5) == 5 * 3 + 4 * 8
    assert COSTS.halving(2) == 2 * 3 + 2 * 8


@pytest.mark.parametrize("epochs", [1, 10, 50, 300, 1000, 10000])
def test_what_is_planned_fits_and_nothing_more_would(tmp_path: Path, epochs: int) -> None:
    with fresh(tmp_path) as run:
        allowance = Allowance(budget(f"{{epochs: {epochs}}}", run, [0.0]), COSTS, heads=60, again=12)
        again = allowance.again()
        assert allowance.epochs(again) <= epochs
        if allowance.heads < 60:
            assert COSTS.halving(allowance.heads + 1) + again * 24 > epochs
        assert (allowance.heads, again) == (60, 12) or epochs < 10000


def test_without_a_limit_all_compete(tmp_path: Path) -> None:
    with fresh(tmp_path) as run:
        allowance = Allowance(budget("{}", run, [0.0]), COSTS, heads=60, again=12)
        assert (allowance.heads, allowance.again(), allowance.epochs(12)) == (60, 12, 260 + 288)
        assert allowance(7, 10, 3)


def test_the_clock_is_asked_before_each_stack_and_remembered(tmp_path: Path) -> None:
    times = [0.0, 0.0, 1.0, 5.0, 7.0, 7.5, 8.0, 8.8, 9.0]
    with fresh(tmp_path) as run:
        timed = Allowance(budget("{seconds: 10}", run, list(times)), COSTS, heads=60, again=12)
        asked = [(0, 10, 3), (1, 10, 3), (2, 10, 3), (0, 4, 8), (1, 4, 8), (2, 4, 8)]
        answers = [timed(*one) for one in asked]
        assert answers == [True, True, False, True, True, False]
        assert timed.epochs(0) == 20 * 3 + 8 * 8
        assert timed.again() == 3  # a tenth of the time is left
    with Run.open(tmp_path / "run") as run:
        later = Allowance(budget("{seconds: 10}", run, [0.0]), COSTS, heads=60, again=12)
        assert [later(*one) for one in asked] == answers and later.again() == 3


@pytest.mark.parametrize("stop", ["rung 1 of 2", "rung 2 of 2"])
def test_a_ranking_that_goes_on_knows_what_was_trained_before(tmp_path: Path, stop: str) -> None:
    def watch(stage: str, done: int, expected: int) -> None:
        if stage == stop and done == 2:
            raise InterruptedError

    def ranked(run: Run, watch: Watch) -> Allowance:
        costs = Costs((9, 10), eta=3, keep=4, rescoring=60)
        allowance = Allowance(budget("{seconds: 100}", run, [0.0] * 99), costs, heads=60, again=4)
        ranking(replace(CONTEST, going=allowance), Checkpoint(tmp_path / "state", 0), watch)
        return allowance

    with fresh(tmp_path) as run, pytest.raises(InterruptedError):
        ranked(run, watch)
    with Run.open(tmp_path / "run") as run:
        assert ranked(run, lambda *_: None).epochs(0) == 60 * 9 + 20 * 10


def test_the_first_heads_of_a_pool_are_its_references() -> None:
    known = tiny_space()
    layers = {name: m.encoder[:1] * m.levels for name, m in known.file.modalities.items()}
    references = tuple(known.architecture([], output=point, layers=layers) for point in known.points())
    pool = Pool(references, None, known, layers)
    assert first(pool, 3) == Pool(references[:3], (), known, layers)
    longer = first(pool, len(references) + 5)
    assert longer.references == references and len(longer) == len(references) + 5
    assert first(longer, 1000) is longer


@pytest.mark.parametrize("epochs", [3, 60, 2000])
def test_the_default_method_fits_into_any_budget(tmp_path: Path, epochs: int) -> None:
    known = space(SMALL, f"search.budget={{epochs: {epochs}}}")
    found = search("default", tmp_path / "run", known, data(SMALL))
    assert found.finalists and found.facts["spent"]["epochs"] <= epochs
    assert (found.facts["contestants"] == 0) == (epochs == 3) and ("shortlist" in found.facts) == (epochs == 2000)
