"""Many searches: trials on an executor, the best of them carried on to its test.

A trial is a search up to the choice on select, where its loss counts. The test part is opened once: by the best trial.
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fusionnas.api import SearchRun, begun, executor_for, resume, settled
from fusionnas.errors import FusionNASError, InputError, RunError, RunInterrupted
from fusionnas.execution import Executor
from fusionnas.run import Run
from fusionnas.run.progress import Progress, QuietProgress
from fusionnas.run.published import AtWork, PublishedProgress
from fusionnas.space import SearchSpace
from fusionnas.stopping import also_stop
from fusionnas.studies.mirror import Mirror
from fusionnas.studies.own import OwnStudy
from fusionnas.studies.ranges import check_ranges
from fusionnas.studies.record import Record
from fusionnas.studies.rungs import shares_of
from fusionnas.studies.sampler import Proposals, check_sampler, distributions_of, sampler_of
from fusionnas.studies.trial import trial_folder
from fusionnas.training.randomness import derive

_SHARE = 5
"""One in so many trials may be under way at a time: proposals do not know more recent ones."""


class Engine(AtWork, Protocol):
    """Carries the trials of a study out."""

    def carry_out(self) -> None:
        """All that are not known yet, unless the study is asked to stop."""


@dataclass(frozen=True)
class StudyRun:
    """A finished study.

    Attributes:
        path: the study's folder.
        number: of the best trial.
        best: its run, tested and exported.
        trials: of each trial ``number``, ``values``, and ``loss``, ``architecture``, ``text``, or why it ``failed``;
            with a scheduler also the loss of each of its ``rungs``, of which the last alone is ``loss``.
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
    scheduler: str = "none",
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
            trials run at the same time, each on one core. Results do not depend on ``workers``; with ``ray`` the study
            (unless ``pbt``) is one of Ray Tune, whose proposals depend on which trials end first.
        trials: how many; a fifth of them may be under way at a time.
        sampler: ``tpe``, ``random``, ``nsga2`` or ``gp``.
        scheduler: ``none``: every trial is a whole search; ``asha``: a ninth of one, the best third a third, the best
            third of these all of it; ``pbt``: a ninth, a third and all of it, between which the worst quarter take
            over, with changes, the values of the best and what they found.
        storage: ``sqlite:///FILE`` or ``postgresql://...`` that receives the trials as they end, for other tools.

    Raises:
        InputError: space, ranges, data, storage or run folder cannot be used. FusionNASError: every trial failed.
    """
    if not isinstance(space, SearchSpace):
        space = SearchSpace.load(space)
    if trials < 1:
        raise InputError(f"--trials: given {trials}, expected at least 1")
    check_sampler(sampler)
    shares_of(scheduler)
    check_ranges(space)
    space, dataset, settings = settled(space, data=data, data_path=data_path, seed=seed)
    facts = {"trials": trials, "sampler": sampler, "scheduler": scheduler, "lag": max(2, -(-trials // _SHARE))}
    facts |= {"name": secrets.token_hex(4)}
    with begun(run_dir, space, dataset, {**settings, "study": facts}, progress) as run:
        return _carry_out(run, space, storage, progress, workers, ray)


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
        return _carry_out(run, space_of(run), storage, progress, workers, ray)


def _carry_out(
    run: Run, space: SearchSpace, storage: str | None, progress: Progress | None, workers: int | None, ray: str | None
) -> StudyRun:
    """All trials, then the best to its end."""
    record = Record(run)
    if not run.finished:
        _check_place(run, ray)
        shown = progress or QuietProgress(stages=False)
        with ExitStack() as stack:
            if storage is not None:
                name = f"{space.name} {record.facts['name']}"
                mirror = Mirror(storage, name, distributions_of(space.file.study), shown.message)
                record.mirror = stack.enter_context(closing(mirror))
            executor = stack.enter_context(closing(executor_for(space, workers, ray, shown)))
            engine = _engine(record, space, executor, workers, ray)
            told = stack.enter_context(closing(PublishedProgress(shown, run.path, engine)))
            record.begin(executor.reaches(run.path), told)
            engine.carry_out()
            run.safe_point()
            record.mirror_all()
    return _finish(record, progress, workers, ray)


def _check_place(run: Run, ray: str | None) -> None:
    if ray is None and run.recorded("proposed"):
        raise RunError(
            f"{run.path} was worked on by a Ray cluster, where proposals depend on which trials end first",
            [f"go on there, or with a cluster on this machine: fusionnas resume {run.path} --ray local"],
        )


def _engine(record: Record, space: SearchSpace, executor: Executor, workers: int | None, ray: str | None) -> Engine:
    """What carries trials out: Ray Tune on a cluster, else a study of our own."""
    sampler, seed, lag = record.facts["sampler"], record.run.settings["seed"], record.facts["lag"]
    if ray is None or record.population:
        proposals = Proposals(sampler, space.file.study, seed=derive(seed, "study"), lag=lag)
        return OwnStudy(record, proposals, executor)
    from fusionnas.distributed.tune import TuneStudy

    # After a stop, another seed: the sampler does not propose once more what it has.
    made = sampler_of(sampler, seed=derive(seed, "study", len(record.tried())), lag=lag)
    return TuneStudy(
        record, distributions_of(space.file.study), made, workers=workers, gpus=space.file.execution.gpus,
        plugins=space.file.plugins,
    )  # fmt: skip


def _finish(record: Record, progress: Progress | None, workers: int | None, ray: str | None) -> StudyRun:
    run, rows = record.run, record.rows()
    whole = [row for row in rows if "loss" in row]
    if not whole:
        first = next(row for row in rows if "failed" in row)
        what = "every trial failed" if all("failed" in row for row in rows) else "no trial came to its end, some failed"
        raise FusionNASError(f"{what}, the first: {first['failed']}\n{first['traceback']}".rstrip())
    best = min(whole, key=lambda row: (row["loss"], row["number"]))
    shown = [{key: value for key, value in row.items() if key != "traceback"} for row in rows]
    folder = trial_folder(run.path, best["number"])
    run.write_json("study.json", {**record.facts, "best": best["number"], "trials": shown})
    try:
        with also_stop(folder, run.path):
            found = resume(folder, workers=workers, ray=ray, progress=progress)
    except RunInterrupted:
        raise RunInterrupted(run.path) from None
    run.finish()
    return StudyRun(run.path, best["number"], found, shown)
