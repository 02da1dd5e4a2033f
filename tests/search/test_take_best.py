"""A search that is asked for its best ends at its next decision, and ends the same after a kill."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fusionnas.run import Run
from fusionnas.run.progress import QuietProgress
from fusionnas.stopping import ask_for_best
from tests.search.test_budget import budget, fresh
from tests.search.test_methods import SMALL, Killed, data, quick, search, space


class Asks(QuietProgress):
    """Asks for the best so far after some steps, and kills the search after some more."""

    def __init__(self, folder: Path, *, ask: int, kill: int = 10_000) -> None:
        super().__init__(stages=False)
        self.folder, self.ask, self.kill = folder, ask, kill

    def advance(self, facts: Mapping[str, Any]) -> None:
        self.ask, self.kill = self.ask - 1, self.kill - 1
        if self.ask == 0:
            ask_for_best(self.folder)
        if self.kill == 0:
            raise Killed


@pytest.mark.parametrize("limit", ["{}", "{epochs: 50}", "{seconds: 50}"])
def test_what_was_decided_before_stays_so_and_first_steps_are_always_taken(limit: str, tmp_path: Path) -> None:
    with fresh(tmp_path) as run:
        first = budget(limit, run, [0.0] * 20)
        assert first.used("supernet", 0) < 1 and first.used("supernet", 1) < 1 and not first.ended
        ask_for_best(run.path)
        assert first.used("supernet", 1) < 1  # this was decided
        assert first.used("supernet", 2) >= 1 and first.ended and first.report()["best_taken"]
        assert first.used("heads", 0) < 1 <= first.used("heads", 1)
        assert first.pace("supernet", 4)(2) >= 1
    with Run.open(tmp_path / "run") as run:
        later = budget(limit, run, [0.0] * 20)
        assert later.ended and later.used("supernet", 1) < 1 <= later.used("supernet", 2)


@pytest.mark.parametrize("name", ["default", "darts", "evolution", "hyperband", "spos"])
def test_methods_end_early_with_what_they_have(name: str, tmp_path: Path) -> None:
    known = space(SMALL, *quick(name), "search.heads=24", "search.epochs=8", "search.stacking=true")
    path = tmp_path / "run"
    found = search(name, path, known, data(SMALL), progress=Asks(path, ask=2))
    assert found.finalists and found.facts["spent"]["best_taken"]
    assert len(found.facts["history"]) == 2
    path = tmp_path / "killed"
    with contextlib.suppress(Killed):  # darts has ended by then
        search(name, path, known, data(SMALL), progress=Asks(path, ask=2, kill=3))
    assert search(name, path, known, data(SMALL)) == found


def test_candidates_end_early_too(tmp_path: Path) -> None:
    known = space(SMALL, "search.method=random", "search.options={batch: 4}", "search.heads=24", "search.epochs=1")
    path = tmp_path / "run"
    found = search("random", path, known, data(SMALL), progress=Asks(path, ask=3))
    assert found.facts["contestants"] == 8 and found.facts["spent"]["best_taken"]
    assert search("random", path, known, data(SMALL)) == found
