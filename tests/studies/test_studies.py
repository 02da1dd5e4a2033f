"""A whole study: trials on workers, the best carried on; stopped and resumed to the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import fusionnas as fn
from fusionnas.bench.victims import write_space
from fusionnas.errors import FusionNASError, InputError, RunError, RunInterrupted
from fusionnas.execution import Ended
from fusionnas.run import Run
from fusionnas.run.journal import Journal
from fusionnas.run.progress import QuietProgress
from fusionnas.run.status import read_status
from fusionnas.stopping import ask_to_stop
from fusionnas.studies.ranges import varied
from fusionnas.studies.record import Record
from fusionnas.studies.trial import opened

RANGES = "study: {training.learning_rate: {low: 0.001, high: 0.1, log: true}, seed: [0, 1]}"
QUICK = ["search.heads=4", "search.epochs=2", "training.epochs=2", "search.random=0"]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> fn.SearchSpace:
    file = write_space(tmp_path_factory.mktemp("space"))
    file.write_text(f"{file.read_text()}{RANGES}\n")
    return fn.SearchSpace.load(file, QUICK)


class StopsAfter(QuietProgress):
    """Asks a run to stop once so many steps of a stage are done."""

    def __init__(self, run: Path, steps: int) -> None:
        super().__init__(stages=False)
        self.run, self.steps = run, steps

    def advance(self, facts) -> None:
        self.steps -= 1
        if self.steps == 0:
            ask_to_stop(self.run)


@pytest.fixture(scope="module")
def whole(space: fn.SearchSpace, tmp_path_factory: pytest.TempPathFactory) -> fn.StudyRun:
    folder = tmp_path_factory.mktemp("whole")
    return fn.study(space, trials=2, run_dir=folder / "study", storage=f"sqlite:///{folder}/study.db")


def openings(run: Path) -> int:
    return sum(entry.get("event") == "test_opened" for entry in Journal(run / "journal.jsonl").events)


def test_the_best_trial_alone_is_tested_and_exported(whole: fn.StudyRun) -> None:
    losses = {row["number"]: row["loss"] for row in whole.trials}
    assert sorted(losses) == [0, 1] and whole.number == min(losses, key=lambda number: losses[number])
    assert whole.best.path == whole.path / "trials" / f"{whole.number:04d}"
    assert [openings(whole.path / "trials" / f"{n:04d}") for n in range(3)] == [
        int(n == whole.number) for n in range(3)
    ]
    assert (whole.best.path / "export" / "model.pt2").is_file()
    rate = whole.trials[whole.number]["values"]["training.learning_rate"]
    assert whole.best.space.file.training.learning_rate == rate and whole.best.space.file.study == {}
    told = json.loads((whole.path / "study.json").read_text())
    assert told["best"] == whole.number and told["trials"] == whole.trials
    assert read_status(whole.path).state == "finished"


def test_another_tool_reads_the_trials(whole: fn.StudyRun) -> None:
    import optuna

    storage = optuna.storages.RDBStorage(f"sqlite:///{whole.path.parent}/study.db")
    (summary,) = optuna.get_all_study_summaries(storage)
    assert summary.study_name.startswith("small ") and summary.n_trials == 2
    assert summary.best_trial.value == whole.best.results["discretization"]["found_loss"]
    storage.remove_session()
    storage.engine.dispose()


@pytest.mark.slow
def test_stopped_and_resumed_with_other_workers_it_ends_the_same(
    whole: fn.StudyRun, space: fn.SearchSpace, tmp_path: Path
) -> None:
    run = tmp_path / "study"
    with pytest.raises(RunInterrupted):
        fn.study(space, trials=2, run_dir=run, progress=StopsAfter(run, 1))
    assert 1 <= read_status(run).units < 2
    with pytest.raises(RunError, match="is a study of many searches; fusionnas.resume_study goes on with it"):
        fn.resume(run)
    again = fn.resume_study(run, workers=2)
    assert (again.number, again.trials) == (whole.number, whole.trials)
    assert (again.best.path / "weights.safetensors").read_bytes() == (
        whole.best.path / "weights.safetensors"
    ).read_bytes()
    finished = fn.resume_study(run)
    assert finished.trials == whole.trials and openings(finished.best.path) == 1


@pytest.mark.slow
def test_halving_ends_the_same_with_any_workers_stopped_or_not(space: fn.SearchSpace, tmp_path: Path) -> None:
    alone = fn.study(
        space, trials=5, scheduler="asha", run_dir=tmp_path / "alone", storage=f"sqlite:///{tmp_path}/a.db"
    )
    run = tmp_path / "stopped"
    with pytest.raises(RunInterrupted):
        fn.study(space, trials=5, scheduler="asha", run_dir=run, workers=2, progress=StopsAfter(run, 4))
    assert 4 <= read_status(run).units < 7
    again = fn.resume_study(run, workers=2)
    assert (again.number, again.trials) == (alone.number, alone.trials)
    assert [len(row["rungs"]) for row in alone.trials if row["number"] == alone.number] == [3]
    early = [row for row in alone.trials if "loss" not in row]
    assert len(early) >= 3 and all("architecture" not in row and row["share"] in ("1/9", "1/3") for row in early)
    whole = {row["number"] for row in alone.trials if "loss" in row}
    assert {int(folder.name) for folder in (run / "trials").iterdir()} == whole
    told = mirrored(f"sqlite:///{tmp_path}/a.db")
    assert {number for number, (state, _) in told.items() if state == "COMPLETE"} == whole
    assert all(state == ("COMPLETE" if n in whole else "PRUNED") for n, (state, _) in told.items())
    assert told[early[0]["number"]][1] == dict(enumerate(early[0]["rungs"]))


@pytest.mark.slow
def test_a_population_ends_the_same_with_any_workers_stopped_or_not(space: fn.SearchSpace, tmp_path: Path) -> None:
    alone = fn.study(space, trials=3, scheduler="pbt", run_dir=tmp_path / "alone")
    run = tmp_path / "stopped"
    with pytest.raises(RunInterrupted):
        fn.study(space, trials=3, scheduler="pbt", run_dir=run, workers=2, progress=StopsAfter(run, 4))
    again = fn.resume_study(run, workers=2)
    assert (again.number, again.trials) == (alone.number, alone.trials)
    assert all(len(row["rungs"]) == 3 and "loss" in row for row in alone.trials)
    with Run.open(run) as opened_again:
        first = [opened_again.units()[f"rung/0/{n:04d}"] for n in range(3)]
    worst = max(range(3), key=lambda n: first[n]["loss"])
    best = min(range(3), key=lambda n: first[n]["loss"])
    for number in range(3):
        inherited = fn.SearchSpace.load(run / "rungs" / "1" / f"{number:04d}" / "space.yaml").file.search.architectures
        assert [Path(file).stem for file in inherited] == [f"{best if number == worst else number:04d}"]


def mirrored(url: str) -> dict[int, tuple[str, dict[int, float]]]:
    """State and losses of each trial in a database."""
    import optuna

    storage = optuna.storages.RDBStorage(url)
    (summary,) = optuna.get_all_study_summaries(storage)
    trials = optuna.load_study(study_name=summary.study_name, storage=storage).get_trials()
    storage.remove_session()
    storage.engine.dispose()
    return {trial.user_attrs["fusionnas trial"]: (trial.state.name, trial.intermediate_values) for trial in trials}


@pytest.mark.slow
def test_trials_that_fail_are_left_out_until_all_have(space: fn.SearchSpace, tmp_path: Path) -> None:
    hot = fn.SearchSpace.parse(
        space.to_yaml(), folder=space.folder, overrides=["study={training.learning_rate: [1.0e+30, 0.01]}"]
    )
    run = fn.study(hot, trials=3, seed=1, sampler="random", run_dir=tmp_path / "study")
    failed = [row for row in run.trials if "failed" in row]
    assert failed and all(row["values"] == {"training.learning_rate": 1e30} for row in failed)
    assert run.trials[run.number]["values"] == {"training.learning_rate": 0.01}
    never = fn.SearchSpace.parse(
        space.to_yaml(), folder=space.folder, overrides=["study={training.learning_rate: [1.0e+30]}"]
    )
    with pytest.raises(FusionNASError, match="every trial failed, the first: .*"):
        fn.study(never, trials=1, run_dir=tmp_path / "never")


def test_what_a_cluster_proposed_goes_on_on_a_cluster(space: fn.SearchSpace, tmp_path: Path) -> None:
    facts = {"trials": 2, "sampler": "tpe", "scheduler": "none", "lag": 2, "name": "a"}
    settings = {"data": None, "data_path": None, "seed": 0, "folder": str(space.folder), "study": facts}
    with Run.create(tmp_path / "study", space=space, settings=settings) as run:
        record = Record(run)
        record.begun(1, {"seed": 1})
        record.keep(0, 0, {"seed": 0}, Ended(record.call(0, 0, {}), {"loss": 0.5}))
        assert record.tried() == {0: {"seed": 0}, 1: {"seed": 1}} and not record.was_left(1)
        record.left(1)
        record.left(1)
        assert record.was_left(1) and len(run.recorded("left")) == 1
    with pytest.raises(RunError, match=r"was worked on by a Ray cluster.*\n.*fusionnas resume .* --ray local"):
        fn.resume_study(tmp_path / "study")


def test_a_folder_of_other_values_is_not_gone_on_with(space: fn.SearchSpace, tmp_path: Path) -> None:
    for values, kept in (({"seed": 0}, 0), ({"seed": 0}, 1), ({"training.learning_rate": 0.002}, 0)):
        changed = varied(space, values)
        with opened(tmp_path / "0000", changed, {"seed": values.get("seed", 0)}) as run:
            assert len(run.recorded("mark")) == kept
            run.record("mark")


def test_one_search_is_no_study(space: fn.SearchSpace, tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", space=space, settings={}):
        pass
    with pytest.raises(RunError, match=re.escape(f"{tmp_path / 'run'} is no study but one search")):
        fn.resume_study(tmp_path / "run")
    with pytest.raises(InputError, match="--trials: given 0, expected at least 1"):
        fn.study(space, trials=0)
