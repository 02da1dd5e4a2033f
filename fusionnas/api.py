"""The doors of fusionnas for Python: search, resume, export, evaluate, predict. The command line uses the same."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionnas.architecture import Architecture
from fusionnas.errors import DataError, InputError, RunError
from fusionnas.space import SearchSpace

if TYPE_CHECKING:
    from fusionnas.data.base import Dataset
    from fusionnas.execution import Executor
    from fusionnas.run import Run
    from fusionnas.run.progress import Progress

AT_THE_END = ("native", "torch", "python")
"""Forms in which every run exports its network; others on demand."""


@dataclass(frozen=True)
class SearchRun:
    """A finished search.

    Attributes:
        path: the run folder.
        space: the space that was searched.
        architecture: what was found, with the sizes of its inputs.
        results: the content of ``results.json``.
    """

    path: Path
    space: SearchSpace
    architecture: Architecture
    results: Mapping[str, Any]


def search(
    space: SearchSpace | str | Path,
    *,
    data: str | Path | None = None,
    data_path: Path | None = None,
    seed: int = 0,
    run_dir: Path | None = None,
    workers: int | None = None,
    ray: str | None = None,
    progress: Progress | None = None,
) -> SearchRun:
    """Find an architecture, train it, test it once, export it; everything is kept in a run folder.

    Args:
        space: a SearchSpace, a path, or the name of a bundled space.
        data: registered data set or folder; default: the space's own.
        data_path: folder that the data set reads instead of its usual place.
        seed: of everything random.
        run_dir: new or empty folder; default: the next free ``runs/NAME-0001``.
        workers: processes that train networks at the same time; results do not depend on it. Default: this process
            alone; on a Ray cluster as many as it has room for.
        ray: train on a Ray cluster: "local" starts one on this machine, "auto" joins the one that runs here,
            "HOST:PORT" that one.
        progress: where to tell how far it is; default: nowhere.

    Raises:
        InputError: space, data or run folder cannot be used.
    """
    from fusionnas.run.progress import QuietProgress

    space, dataset, settings = settled(space, data=data, data_path=data_path, seed=seed)
    shown = progress or QuietProgress(stages=False)
    with (
        closing(executor_for(space, workers, ray, shown)) as executor,
        begun(run_dir, space, dataset, settings, progress) as run,
    ):
        return _carry_out(run, space, dataset, executor, shown)


def resume(
    run_dir: Path, *, workers: int | None = None, ray: str | None = None, progress: Progress | None = None
) -> SearchRun:
    """Carry a stopped run on; it ends exactly as it would have ended undisturbed. A finished run is just read.

    ``workers``, ``ray`` and ``progress`` as for :func:`search`; they may differ from those before.

    Raises:
        RunError: the folder is no run, another process works on it, or the data has changed since.
    """
    from fusionnas.run import Run
    from fusionnas.run.progress import QuietProgress
    from fusionnas.search.reopen import data_of, space_of

    run = Run.open(run_dir, tell=None if progress is None else progress.message)
    with run:
        if "study" in run.settings:
            raise RunError(f"{run_dir} is a study of many searches; fusionnas.resume_study goes on with it")
        space = space_of(run)
        if run.finished:
            return _read(run.path, space)
        shown = progress or QuietProgress(stages=False)
        dataset = data_of(run, space)
        with closing(executor_for(space, workers, ray, shown)) as executor:
            return _carry_out(run, space, dataset, executor, shown)


def settled(
    space: SearchSpace | str | Path, *, data: str | Path | None, data_path: Path | None, seed: int
) -> tuple[SearchSpace, Dataset, dict[str, Any]]:
    """The space over the data that it is given, the data, and the settings that a run of it keeps.

    Raises:
        InputError, DataError: space or data cannot be used.
    """
    from fusionnas.data.load import load_dataset

    if not isinstance(space, SearchSpace):
        space = SearchSpace.load(space)
    dataset = load_dataset(space, data=data, data_path=data_path, seed=seed)
    space, folder = _over(space, data, data_path, dataset)
    place = None if folder is None else str(folder)
    # The space names its data.
    settings = {"data": None, "data_path": place, "seed": seed, "folder": str(space.folder)}
    return space, dataset, {**settings, "device": space.file.execution.device}


def begun(
    run_dir: Path | None, space: SearchSpace, dataset: Dataset, settings: Mapping[str, Any], progress: Progress | None
) -> Run:
    """A new run that knows its data."""
    from fusionnas.run import Run

    run = Run.create(run_dir, space=space, settings=settings, tell=None if progress is None else progress.message)
    run.record("data", hash=dataset.description["hash"])
    return run


def _over(
    space: SearchSpace, data: str | Path | None, data_path: Path | None, dataset: Dataset
) -> tuple[SearchSpace, Path | None]:
    """The space over the data that were loaded, and the folder that a registered set is read from, as seen anywhere.

    The ``space.yaml`` of run and export then names what the network was trained on: resume, evaluate and predict find
    it again.
    """
    from fusionnas.data.base import datasets
    from fusionnas.data.files import named_layout

    chosen = space.file.data if data is None else data
    changed: dict[str, Any] = {}
    if isinstance(chosen, str) and chosen in datasets:
        target = dataset.description.get("target", space.file.task.target)
        changed = {"data": chosen, "task": space.file.task.model_copy(update={"target": target})}
    elif place := data or data_path:
        changed = {"data": named_layout(Path(place).resolve(), space.file)}
    folder = None if data_path is None or "task" not in changed else data_path.resolve()
    return SearchSpace(space.file.model_copy(update=changed), path=space.path, folder=space.folder), folder


def executor_for(space: SearchSpace, workers: int | None, ray: str | None, progress: Progress) -> Executor:
    """Where the trainings of a space run.

    Raises:
        InputError: the cluster cannot be joined, or has no room for the ranks of ``search.data_parallel``; or there is
            no GPU, but ``execution.device`` asks for one.
    """
    from fusionnas.device import check_device
    from fusionnas.execution import make_executor
    from fusionnas.search.ranks import check_ranks

    check_device(space.file.execution.device, ray=ray is not None, gpus=space.file.execution.gpus)
    executor = make_executor(
        workers, ray=ray, gpus=space.file.execution.gpus, plugins=space.file.plugins, tell=progress.message
    )
    try:
        check_ranks(space, ray=ray)
    except InputError:
        executor.close()
        raise
    return executor


def _carry_out(run: Run, space: SearchSpace, dataset: Dataset, executor: Executor, progress: Progress) -> SearchRun:
    from fusionnas.export.native import write_native
    from fusionnas.report.page import write_report
    from fusionnas.run.published import PublishedProgress
    from fusionnas.search.pipeline import run_search
    from fusionnas.search.reopen import task_of
    from fusionnas.training.randomness import one_thread

    start = time.monotonic()
    with one_thread(), closing(PublishedProgress(progress, run.path, executor)) as shown:
        task = task_of(run, space, dataset, shown, executor)
        outcome = run_search(task, dataset)
        network = outcome.network.network(task.problem)
    write_native(run.path, network, space.to_yaml(), dataset.preprocessing)
    run.seal("architecture.json", "weights.safetensors", "preprocessing.json")
    results = {**outcome.results, "seconds": round(time.monotonic() - start, 1)}
    run.write_json("results.json", results)
    progress.stage("export", 1)
    export(run.path, formats=AT_THE_END, output=run.path / "export", fresh=False)
    progress.stage("report", 1)
    write_report([run.path], run.path / "report.html")
    run.finish()
    return _read(run.path, space)


def _read(path: Path, space: SearchSpace) -> SearchRun:
    from fusionnas.export.native import read_native

    model = read_native(path)
    return SearchRun(path, space, model.network.architecture, model.results)


def export(
    run_dir: Path, *, formats: Sequence[str] = ("all",), output: Path | None = None, fresh: bool = True
) -> dict[str, Any]:
    """Write a run's network in forms that others can use; each is compared with the network in memory.

    The native files (JSON, safetensors) and a model card are in every export.

    Args:
        run_dir: a finished run, or a native export.
        formats: of those that ``fusionnas list forms`` names; ``all`` stands for the usual ones, and leaves out, with
            the reason, what this network or this machine cannot have.
        output: folder to write to; default: ``export`` inside the run.
        fresh: run each form in a process of its own, with times; else quickly in this one.

    Returns:
        the content of ``export.json``: per form its file and, per batch, the difference and milliseconds of both.

    Raises:
        InputError: an unknown form, or a package that it needs. RunError: no trained network there.
        ExportError: a form that was named cannot be written, or does not give the same.
    """
    from fusionnas.export.write import write_export

    folder = output or run_dir / "export"
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return write_export(run_dir, folder, formats, fresh=fresh)


def evaluate(
    run_or_export: Path, *, data: str | Path | None = None, data_path: Path | None = None, split: str = "test"
) -> dict[str, Any]:
    """Metrics of a trained network on labelled data.

    Args:
        run_or_export: a finished run, an export, or one file of an export, such as ``export/model.onnx``.
        data: registered data set or folder; default: what the network was trained on.
        data_path: any folder in that data set's layout, such as one more PhysioNet set: all of it is scored.
        split: without ``data_path``: "test" (a run records that its test part was opened once more), or
            "development", the samples that the network was chosen and trained on.

    Returns:
        ``{"metrics": {name: value}, "n": samples, "split": ..., "data": ...}``; ``split`` is "all" where the data have
        no test part of their own.

    Raises:
        RunError, DataError: network or data cannot be used; also when labels are missing.
    """
    from fusionnas.data.load import load_development, load_part, load_records
    from fusionnas.export.opened import open_trained
    from fusionnas.training.scoring import scores

    if split not in ("test", "development"):
        raise InputError(f"split: given '{split}', expected 'test' or 'development'")
    trained = open_trained(run_or_export)
    model, run_or_export = trained.model, trained.folder
    own = data is None and data_path is None
    place = _place(run_or_export) if own else data_path
    if split == "development" and data_path is None:
        records, scored = load_development(model.space, data, place), split
    else:
        records, scored = load_records(model.space, data, place, own=own)
    source = str(data_path or data or _named(model.space.file.data))
    if records.target is None:
        raise DataError(f"{source} has no labels to compare with", ["use 'fusionnas predict' for data without labels"])
    part = load_part(model.preprocessing, records)
    if split == "test" and own and (run_or_export / "journal.jsonl").is_file():
        _record_opening(run_or_export, len(part))
    logits = trained.logits(part.inputs)
    return {"metrics": scores(logits, part.target), "n": len(part), "split": scored, "data": source}


def _named(data: Any) -> str:
    """A registered set by its name, files by the path of the test part, or of that it is split off from."""
    return data if isinstance(data, str) else str(data.test or data.train)


def _place(path: Path) -> Path | None:
    """The folder from which a run reads its registered data set, where it is not the usual one."""
    from fusionnas.run.journal import Journal

    journal = path / "journal.jsonl"
    place = Journal(journal).events[0]["settings"].get("data_path") if journal.is_file() else None
    return None if place is None else Path(place)


def _record_opening(path: Path, samples: int) -> None:
    from fusionnas.run import Run

    # Another commit or machine than at the search matters to those who resume, not to a count of openings.
    with Run.open(path, tell=lambda message: None) as run:
        run.record("test_opened", by="evaluate", samples=samples)


def predict(
    run_or_export: Path, *, output: Path, data: str | Path | None = None, data_path: Path | None = None
) -> dict[str, Any]:
    """Predicted probabilities of every sample as CSV: id, one column per class, predicted class.

    Args:
        run_or_export: a finished run, an export, or one file of an export, such as ``export/model.onnx``.
        output: CSV file to write.
        data, data_path: as for :func:`evaluate`; labels are not needed.

    Returns:
        ``{"file": ..., "n": samples, "classes": [...]}``.

    Raises:
        RunError, DataError: network or data cannot be used.
    """
    from fusionnas.data.load import load_part, load_records
    from fusionnas.export.opened import open_trained
    from fusionnas.training.scoring import probabilities

    trained = open_trained(run_or_export)
    model, run_or_export = trained.model, trained.folder
    own = data is None and data_path is None
    records, _ = load_records(model.space, data, _place(run_or_export) if own else data_path, own=own)
    part = load_part(model.preprocessing, records)
    table = probabilities(trained.logits(part.inputs))
    classes = [str(name) for name in model.preprocessing.classes]
    with _writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", *(f"probability_{name}" for name in classes), "predicted"])
            for sample, row in zip(part.ids, table, strict=True):
                writer.writerow([sample, *(f"{p:.6f}" for p in row), classes[int(row.argmax())]])
    return {"file": str(output), "n": len(table), "classes": classes}


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell what the user's ``--output`` cannot be."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(f"cannot write {path}: {why}; choose an --output that can be written") from error
