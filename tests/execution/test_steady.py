"""Proposals that learn: the same with any number of workers and any order of ends; killed, they go on the same."""

from __future__ import annotations

import contextlib
import random

import pytest

from fusionnas.execution import Call, Ended, Executor, InlineExecutor
from fusionnas.execution.local import LocalExecutor
from fusionnas.execution.simulated import SimulatedExecutor, World
from fusionnas.execution.steady import steady_state
from tests.execution import tasks


class Evolution:
    """Children of the best so far; squares as their values."""

    def __init__(self, total: int) -> None:
        self.total, self.rng = total, random.Random(3)
        self.seen: list[tuple[int, int]] = []
        self.proposed: list[int] = []

    def propose(self, number: int) -> Call | None:
        if number == self.total:
            return None
        best = max((value for _, value in self.seen), default=0)
        self.proposed.append(best % 97 + self.rng.randrange(100))
        return Call(f"candidate {number}", tasks.square, (self.proposed[-1],))

    def observe(self, number: int, ended: Ended) -> None:
        self.seen.append((number, -1 if ended.failure else ended.value))


def run(executor: Executor, *, total: int = 60, lag: int = 6) -> Evolution:
    evolution = Evolution(total)
    with contextlib.closing(executor):
        ends = list(steady_state(executor, evolution, lag=lag))
    assert sorted(number for number, _ in ends) == list(range(total))
    return evolution


@pytest.mark.parametrize("workers", [2, 5, 64])
def test_proposals_depend_neither_on_workers_nor_on_the_order_of_ends(workers: int) -> None:
    alone = run(InlineExecutor())
    world = World(stragglers=0.2, deaths=0.1)
    other = run(SimulatedExecutor(workers, world, seed=workers))
    assert other.proposed == alone.proposed and other.seen == alone.seen
    assert len(set(alone.proposed)) > 20


def test_worker_processes_propose_the_same() -> None:
    assert run(LocalExecutor(2)).proposed == run(InlineExecutor()).proposed


def test_a_proposal_sees_exactly_the_results_up_to_its_lag() -> None:
    seen: list[tuple[int, int]] = []

    class Watching(Evolution):
        def propose(self, number: int) -> Call | None:
            if number < self.total:
                seen.append((number, len(self.seen)))
            return super().propose(number)

    evolution = Watching(30)
    list(steady_state(SimulatedExecutor(8, World(stragglers=0.3), seed=1), evolution, lag=10))
    assert seen == [(number, max(0, number - 9)) for number in range(30)]
    assert [number for number, _ in evolution.seen] == list(range(30))


def test_another_lag_is_another_search() -> None:
    assert run(InlineExecutor(), lag=2).proposed != run(InlineExecutor(), lag=20).proposed


@pytest.mark.parametrize("killed_after", [0, 1, 17, 59, 60])
def test_what_a_journal_recalls_is_not_run_again_and_nothing_else_changes(killed_after: int) -> None:
    whole, journal = run(InlineExecutor()), {}
    executor = SimulatedExecutor(7, World(), seed=2)
    for count, (_, ended) in enumerate(steady_state(executor, Evolution(60), lag=6)):
        if count == killed_after:
            break
        journal[ended.call.name] = ended.value
    again = Evolution(60)
    more = list(steady_state(SimulatedExecutor(3, World(), seed=9), again, lag=6, recall=lambda c: journal.get(c.name)))
    assert again.proposed == whole.proposed and again.seen == whole.seen
    assert len(more) == 60 - min(killed_after, 60)


def test_a_task_that_is_late_runs_once_more_and_ends_once() -> None:
    slow = SimulatedExecutor(4, World(stragglers=0.05, slower=50.0), seed=4)
    evolution = run(slow, total=400, lag=16)
    assert slow.worked > 0 and len(evolution.seen) == 400


def test_halted_nothing_more_is_proposed_and_what_is_under_way_ends() -> None:
    evolution, ended = Evolution(60), []
    executor = SimulatedExecutor(4, World(), seed=1)
    for number, _ in steady_state(executor, evolution, lag=8, halt=lambda: len(ended) >= 10):
        ended.append(number)
    assert 10 <= len(ended) <= 10 + executor.workers + 1
    assert len(evolution.proposed) == len(ended)


def test_a_failure_is_observed_like_a_value() -> None:
    evolution = run(SimulatedExecutor(4, World(deaths=0.7), seed=1))
    assert -1 in [value for _, value in evolution.seen]
