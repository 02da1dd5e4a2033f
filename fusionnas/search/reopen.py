"""A run folder opened again: its space, its data and its task, as they were when the search began."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fusionnas.data.base import Dataset
from fusionnas.data.load import load_dataset
from fusionnas.errors import RunError
from fusionnas.search.method import Problem, Task
from fusionnas.search.pretrain import pretrain
from fusionnas.search.price import measured_costs
from fusionnas.space import SearchSpace

if TYPE_CHECKING:
    from fusionnas.execution import Executor
    from fusionnas.run import Run
    from fusionnas.run.progress import Progress


def space_of(run: Run) -> SearchSpace:
    """The space that was searched; its files are found from where they were."""
    return SearchSpace.load(run.path / "space.yaml", folder=Path(run.settings["folder"]))


def data_of(run: Run, space: SearchSpace) -> Dataset:
    """The run's data set.

    Raises:
        RunError: the data have changed since the run began.
        DataError: they are not there any more.
    """
    place = run.settings["data_path"]
    dataset = load_dataset(
        space, data=run.settings["data"], data_path=None if place is None else Path(place), seed=run.settings["seed"]
    )
    before = run.recorded("data")
    if before and before[-1]["hash"] != dataset.description["hash"]:
        raise RunError(
            f"{run.path}: the data is not what it was when the run began",
            [f"hash then {before[-1]['hash']}, now {dataset.description['hash']}; restore the data or start anew"],
        )
    if not before:
        run.record("data", hash=dataset.description["hash"])
    return dataset


def task_of(run: Run, space: SearchSpace, dataset: Dataset, progress: Progress, executor: Executor) -> Task:
    """What the search method received."""
    seed = run.settings["seed"]
    costs = measured_costs(space, dataset.search, run)
    pretrained = pretrain(space, dataset.search, seed=seed, run=run, progress=progress)
    return Task(Problem(space, dataset.search, seed, pretrained, costs), run, progress, executor)
