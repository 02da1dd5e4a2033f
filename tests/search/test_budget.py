"""Budgets: what is counted, what the clock says, and that a resumed run believes what was written down."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from fusionnas.errors import SpaceError
from fusionnas.run import Run
from fusionnas.run.progress import QuietProgress
from fusionnas.search.budget import Budget
from fusionnas.search.method import Problem, Task
from fusionnas.space import SearchSpace
from tests.spaces import TEXT, tiny_data

DATA = tiny_data(8)


def space(limit: str) -> SearchSpace:
    text = TEXT.format(nodes=1, inputs="2", operators="additive")
    return SearchSpace.parse(text, overrides=[f"search.budget={limit}"])


def budget(limit: str, run: Run, seconds: list[float]) -> Budget:
    """With a clock that goes through ``seconds``."""
    clock = functools.partial(seconds.pop, 0)
    return Budget(Task(Problem(space(limit), DATA, 0), run, QuietProgress(stages=False), clock=clock))


def fresh(folder: Path) -> Run:
    return Run.create(folder / "run", space=space("{}"), settings={})


def test_epochs_and_trainings_are_counted(tmp_path: Path) -> None:
    with fresh(tmp_path) as run:
        epochs, trainings = (budget(limit, run, [0.0]) for limit in ("{epochs: 20}", "{trainings: 4}"))
        assert trainings.left() == 12  # of 3 epochs each
        epochs.spend(5)
        assert epochs.used("heads", 0, epochs=5) == 0.5 and epochs.left() == 15
        assert epochs.report() == {"epochs": 5.0}
        assert [epochs.pace("supernet", 7)(epoch) for epoch in (0, 15)] == [0.25, 1.0]  # it stretches
        assert epochs.pace("supernet", 5, part=0.5, stretch=False)(3) == max(0.8, 0.6)
        assert run.recorded("budget") == []


def test_without_a_limit_the_epochs_alone_count(tmp_path: Path) -> None:
    with fresh(tmp_path) as run:
        free = budget("{}", run, [0.0])
        assert free.used("a", 0) == 0 and free.left() is None and free.pace("supernet", 4)(3) == 0.75


def test_seconds_are_journaled_and_a_resumed_run_reads_them(tmp_path: Path) -> None:
    with fresh(tmp_path) as run:
        first = budget("{seconds: 10}", run, [100.0, 102.0, 104.5])
        assert [first.used("supernet", epoch) for epoch in (0, 1, 1)] == [0.2, 0.45, 0.45]
    with Run.open(tmp_path / "run") as run:
        later = budget("{seconds: 10}", run, [900.0, 901.5, 909.0])  # much later; what lies between does not count
        assert [later.used("supernet", epoch) for epoch in (0, 1, 2)] == [0.2, 0.45, 0.6]
        assert later.pace("heads", 3)(0) >= 1
        assert later.report() == {"epochs": 0.0, "seconds": 13.5}


def test_one_limit_at_most_and_a_positive_one() -> None:
    with pytest.raises(SpaceError, match="search.budget: given seconds and epochs; keep one"):
        space("{seconds: 3, epochs: 4}")
    with pytest.raises(SpaceError, match="search.budget.epochs: given 0, expected more than 0"):
        space("{epochs: 0}")
    with pytest.raises(SpaceError, match=r"search.budget.epoch: unknown key \(did you mean 'epochs'\?\)"):
        space("{epoch: 3}")
