"""Which trial is searched longer, by whatever executor, and what a share of a search is."""

from __future__ import annotations

import contextlib
import random
from fractions import Fraction

import pytest

from fusionnas.errors import InputError
from fusionnas.execution import Call, Ended, Executor, InlineExecutor
from fusionnas.execution.simulated import SimulatedExecutor, World
from fusionnas.execution.steady import steady_state
from fusionnas.space import SearchSpace
from fusionnas.studies.rungs import Halving, shares_of, shortened
from tests.execution import tasks
from tests.spaces import OPERATORS, TEXT

BASE = TEXT.format(nodes=1, inputs="[2, 3]", operators=", ".join(OPERATORS))


class Toy:
    """Trial n has a loss of its own on every rung; every third on no rung."""

    def __init__(self, trials: int, rungs: int, fails: int = 3) -> None:
        self.halving, self.rng, self.fails = Halving(trials, rungs), random.Random(5), fails
        self.quality = [self.rng.random() for _ in range(trials)]
        self.order: list[tuple[int, int]] = []
        self.losses: list[dict[int, float | None]] = [{} for _ in range(rungs)]
        self.observed = 0

    def propose(self, place: int) -> Call | None:
        found = self.halving.next(last=self.observed == place)
        if found is not None:
            self.order.append(found)
        return None if found is None else Call(f"{found}", tasks.square, (1,))

    def observe(self, place: int, ended: Ended) -> None:
        self.observed += 1
        number, rung = self.order[place]
        loss = None if number % self.fails == 0 else self.quality[number] + 0.1 * rung
        self.losses[rung][number] = loss
        self.halving.observe(number, rung, loss)


def run(executor: Executor, toy: Toy, lag: int = 5) -> Toy:
    with contextlib.closing(executor):
        list(steady_state(executor, toy, lag=lag))
    return toy


@pytest.mark.parametrize("workers", [2, 4, 16])
def test_who_goes_on_depends_neither_on_workers_nor_on_the_order_of_ends(workers: int) -> None:
    alone = run(InlineExecutor(), Toy(40, 3))
    other = run(SimulatedExecutor(workers, World(stragglers=0.2, deaths=0.1), seed=workers), Toy(40, 3))
    assert other.order == alone.order
    assert other.losses == alone.losses


def test_the_best_third_goes_on_and_nothing_twice() -> None:
    toy = run(InlineExecutor(), Toy(40, 3), lag=1)
    assert [number for number, rung in toy.order if rung == 0] == list(range(40))
    assert len(set(toy.order)) == len(toy.order)
    for rung in (0, 1):
        on = set(toy.losses[rung + 1])
        ranked = sorted((loss, n) for n, loss in toy.losses[rung].items() if loss is not None)
        final = {n for _, n in ranked[: len(toy.losses[rung]) // 3]}
        assert final <= on and len(on) < 2 * len(final) + 2
        assert not {n for n, loss in toy.losses[rung].items() if loss is None} & on


def test_a_promotion_comes_before_a_new_trial() -> None:
    halving = Halving(10, 2)
    for number in range(3):
        assert halving.next(last=False) == (number, 0)
        halving.observe(number, 0, [0.3, 0.1, 0.2][number])
    assert halving.next(last=False) == (1, 1)
    assert halving.next(last=False) == (3, 0)


@pytest.mark.parametrize("trials", [1, 2, 5])
def test_the_best_of_few_comes_to_the_last_rung(trials: int) -> None:
    toy = run(SimulatedExecutor(3, World(), seed=1), Toy(trials, 3, fails=100), lag=2)
    fit = {n: loss for n, loss in toy.losses[0].items() if loss is not None}
    assert list(toy.losses[2]) == ([min(fit, key=lambda n: fit[n])] if fit else [])


def test_one_rung_is_one_search_per_trial() -> None:
    assert run(InlineExecutor(), Toy(7, 1)).order == [(number, 0) for number in range(7)]
    assert shares_of("none") == (1,) and shares_of("asha") == shares_of("pbt") == (Fraction(1, 9), Fraction(1, 3), 1)


def test_a_share_of_a_search_has_fewer_epochs_candidates_and_less_budget() -> None:
    search = ["search.method=random", "search.epochs=20", "search.heads=800", "training.epochs=10"]
    search += ["search.options={candidates: 30, epochs: 4}"]
    found = [
        shortened(SearchSpace.parse(BASE, overrides=[*search, f"search.budget.{budget}"]), Fraction(1, 9)).file
        for budget in ("epochs=18", "seconds=4.5", "trainings=9")
    ]
    assert (found[0].search.epochs, found[0].search.heads, found[0].training.epochs) == (3, 89, 2)
    assert found[0].search.options == {"candidates": 4, "epochs": 4}
    assert (found[0].search.budget.epochs, found[1].search.budget.seconds) == (2.0, 0.5)
    assert found[2].search.budget.trainings == 9  # each of them of fewer epochs


def test_all_of_a_search_is_the_search() -> None:
    space = SearchSpace.parse(BASE)
    assert shortened(space, Fraction(1)) is space


def test_an_unknown_scheduler_is_told() -> None:
    with pytest.raises(InputError, match="--scheduler: given 'hyperband', expected one of asha, pbt, none"):
        shares_of("hyperband")
