"""Many searches: trials on an executor, the best of them carried on to its test.

A trial is a search up to the choice on select, where its loss counts. The test part is opened once: by the best trial.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionnas.api import SearchRun, executor_for, resume, settled
from fusionnas.errors import FusionNASError, InputError, RunError, RunInterrupted
from fusionnas.execution import Call, Ended, Executor
from fusionnas.execution.steady import steady_state
from fusionnas.run import Result, Run
from fusionnas.run.progress import Progress, QuietProgress
from fusionnas.run.published import PublishedProgress
from fusionnas.space import SearchSpace
from fusionnas.stopping import also_stop
from fusionnas.studies.mirror import Mirror
from fusionnas.studies.ranges import Values, check_ranges
from fusionnas.studies.sampler import Proposals, check_sampler
from fusionnas.studies.trial import run_trial, trial_folder
from fusionnas.training.randomness import derive

_SHARE = 5
"""One in so many trials may be under way at a time: proposals do not know more recent ones."""


@dataclass(frozen=True)
class StudyRun:
    """A finished study.

    Attributes:
        path: the study's folder.
        number: of the best trial.
        best: its run, tested and exported.
        trials: of each trial ``number``, ``values``, and ``loss``, ``architecture``, ``text``, or why it ``failed``.
    """

    path: Path
    number: int
    best: SearchRun
    trials: list[dict[str, Any]]


def study(
    space: SearchSpace | str | Path,
    *,
    trials: int,
    sampler: str = "tpe",
    storage: str | None = None,
    data: str | Path | None = None,
    data_path: Path | None = None,
    seed: int = 0,
    run_dir: Path | None = None,
    workers: int | None = None,
    ray: str | None = None,
    progress: Progress | None = None,
) -> StudyRun:
    """Search many times over the ranges of a space; the trial with the least loss on select is carried on and tested.

    Args:
        space, data, data_path, seed, run_dir, workers, ray, progress: as for :func:`fusionnas.search`; ``workers``
            trials run at the same time, each on one core. Results do not depend on ``workers`` or ``ray``.
        trials: how many; a fifth of them may be under way at a time.
        sampler: ``tpe``, ``random``, ``nsga2`` or ``gp``.
        storage: ``sqlite:///FILE`` or ``postgresql://...`` that receives the trials as they end, for other tools.

    Raises:
        InputError: space, ranges, data, storage or run folder cannot be used. FusionNASError: every trial failed.
    """
    if not isinstance(space, SearchSpace):
        space = SearchSpace.load(space)
    if trials < 1:
        raise InputError(f"--trials: given {trials}, expected at least 1")
    check_sampler(sampler)
    check_ranges(space)
    space, dataset, settings = settled(space, data=data, data_path=data_path, seed=seed)
    facts = {"trials": trials, "sampler": sampler, "lag": max(2, -(-trials // _SHARE)), "name": secrets.token_hex(4)}
    run = Run.create(
        run_dir, space=space, settings={**settings, "study": facts}, tell=None if progress is None else progress.message
    )
    with run:
        run.record("data", hash=dataset.description["hash"])
        return _Study(run, space, storage, progress).carry_out(workers, ray)


def resume_study(
    run_dir: Path,
    *,
    storage: str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    progress: Progress | None = None,
) -> StudyRun:
    """Carry a stopped study on; arguments as for :func:`study`.

    Raises:
        RunError: no study, another process works on it, or the data has changed since.
    """
    from fusionnas.search.reopen import space_of

    with Run.open(run_dir, tell=None if progress is None else progress.message) as run:
        if "study" not in run.settings:
            raise RunError(f"{run_dir} is no study but one search; `fusionnas resume {run_dir}` goes on with it")
        return _Study(run, space_of(run), storage, progress).carry_out(workers, ray)


class _Study:
    """One study at work; proposes and observes trials in the order of their numbers."""

    def __init__(self, run: Run, space: SearchSpace, storage: str | None, progress: Progress | None) -> None:
        self.run, self.space, self.progress = run, space, progress
        self.facts: dict[str, Any] = run.settings["study"]
        self.values: list[Values] = []
        self.proposals = Proposals(
            self.facts["sampler"], space.file.study, seed=derive(run.settings["seed"], "study"), lag=self.facts["lag"]
        )
        self.storage = storage

    def propose(self, number: int) -> Call | None:
        """The task of a trial."""
        if number >= self.facts["trials"]:
            return None
        self.values.append(self.proposals.ask())
        settings = {key: value for key, value in self.run.settings.items() if key != "study"}
        return Call(_unit(number), run_trial, (self.run.path.absolute(), number, self.values[number], settings))

    def observe(self, number: int, ended: Ended) -> None:
        """Its loss."""
        self.proposals.tell(number, (ended.value or {}).get("loss"))

    def recall(self, call: Call) -> Any:
        """What the journal has of a trial.

        Raises:
            RunError: it was another trial than would be proposed now.
        """
        if not self.run.known(call.name):
            return None
        facts: dict[str, Any] = self.run.units()[call.name]
        if facts["values"] != call.arguments[2]:
            raise RunError(
                f"{self.run.path}: {call.name} was {facts['values']}, now Optuna proposes {call.arguments[2]}",
                ["resume with the version of Optuna that environment.json names"],
            )
        return facts

    def carry_out(self, workers: int | None, ray: str | None) -> StudyRun:
        """All trials, then the best to its end."""
        if self.run.finished:
            return self._finish(workers, ray)
        shown = self.progress or QuietProgress(stages=False)
        with ExitStack() as stack:
            tell = shown.message
            mirror = None
            if self.storage is not None:
                name = f"{self.space.name} {self.facts['name']}"
                mirror = stack.enter_context(closing(Mirror(self.storage, name, self.proposals.distributions, tell)))
            executor = stack.enter_context(closing(executor_for(self.space, workers, ray, shown)))
            self._check_reach(executor)
            told = stack.enter_context(closing(PublishedProgress(shown, self.run.path, executor)))
            told.stage("trials", self.facts["trials"])
            for number, facts in self._ends(executor):
                told.advance({"trial": number, "loss": facts.get("loss", "failed")})
                if mirror is not None:
                    mirror.write(number, facts["values"], facts)
            self.run.safe_point()
            if mirror is not None:
                for row in self.rows():
                    mirror.write(row["number"], row["values"], row)
        return self._finish(workers, ray)

    def _ends(self, executor: Executor) -> Iterator[tuple[int, dict[str, Any]]]:
        ends = steady_state(
            executor, self, lag=self.facts["lag"], recall=self.recall, halt=self.run.stopping, backups=False
        )
        with closing(ends):
            for number, ended in ends:
                if ended.failure is not None and ended.failure.kind == "stopped":
                    continue
                facts: dict[str, Any] = {"values": dict(self.values[number])}
                if ended.failure is None:
                    facts |= ended.value
                else:
                    facts |= {"failed": ended.failure.text, "traceback": ended.failure.traceback}
                self.run.keep(_unit(number), Result(facts))
                yield number, facts

    def _check_reach(self, executor: Executor) -> None:
        if not executor.reaches(self.run.path):
            raise RunError(
                f"--run-dir: not every node of the cluster sees {self.run.path}",
                ["the trials of a study write their own run folders there: put it on storage that all nodes share"],
            )

    def rows(self) -> list[dict[str, Any]]:
        """The trials of the journal, in order."""
        units = self.run.units()
        names = {_unit(number): number for number in range(self.facts["trials"])}
        return [{"number": names[name], **units[name]} for name in names if name in units]

    def _finish(self, workers: int | None, ray: str | None) -> StudyRun:
        rows = self.rows()
        whole = [row for row in rows if "loss" in row]
        if not whole:
            raise FusionNASError(f"every trial failed, the first: {rows[0]['failed']}\n{rows[0]['traceback']}".rstrip())
        best = min(whole, key=lambda row: (row["loss"], row["number"]))
        shown = [{key: value for key, value in row.items() if key != "traceback"} for row in rows]
        folder = trial_folder(self.run.path, best["number"])
        self.run.write_json("study.json", {**self.facts, "best": best["number"], "trials": shown})
        try:
            with also_stop(folder, self.run.path):
                found = resume(folder, workers=workers, ray=ray, progress=self.progress)
        except RunInterrupted:
            raise RunInterrupted(self.run.path) from None
        self.run.finish()
        return StudyRun(self.run.path, best["number"], found, shown)


def _unit(number: int) -> str:
    return f"trial/{number:04d}"
