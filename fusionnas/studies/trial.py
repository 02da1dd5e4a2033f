"""One trial of a study: a search in its own run folder, up to the choice on select; the test part stays closed."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

from fusionnas.architecture import Architecture
from fusionnas.errors import RunInterrupted, Stopped
from fusionnas.run import Run
from fusionnas.run.files import write_json
from fusionnas.run.progress import QuietProgress
from fusionnas.space import SearchSpace
from fusionnas.studies.ranges import SEED, Values, varied
from fusionnas.studies.rungs import shortened


def trial_folder(study: Path, number: int) -> Path:
    """The run folder of a trial."""
    return study / "trials" / f"{number:04d}"


def rung_folder(study: Path, number: int, rung: int) -> Path:
    """The run folder of a trial that gets less than a whole search."""
    return study / "rungs" / str(rung) / f"{number:04d}"


def found_file(folder: Path) -> Path:
    """What the search in a trial's folder found, for others to go on from."""
    return folder.with_suffix(".json")


def run_trial(
    study: Path,
    folder: Path,
    values: Values,
    settings: dict[str, Any],
    share: Fraction,
    inherited: Path | None = None,
) -> dict[str, Any]:
    """Search with these values; goes on where an earlier attempt was.

    Args:
        study: the study's folder.
        folder: of the trial's own run.
        values: what varies.
        settings: of the study's run: seed, data, where the space's files lie.
        share: of the search, see :func:`fusionnas.studies.rungs.shortened`.
        inherited: file with an architecture that joins the finalists, unless it reads what this space does not have.

    Returns:
        ``loss`` (mean over all samples that the winner's trainings held out), ``architecture``, its ``text``.

    Raises:
        Stopped: the study is asked to stop; what was done is kept.
        FusionNASError, InputError: these values do not go together, or nothing can be trained with them.
    """
    from fusionnas.execution import InlineExecutor
    from fusionnas.search.pipeline import select
    from fusionnas.search.reopen import data_of, task_of
    from fusionnas.search.retrain import held_out_losses
    from fusionnas.stopping import also_stop
    from fusionnas.training.randomness import one_thread

    text = (study / "space.yaml").read_text()
    space = varied(SearchSpace.parse(text, name="space.yaml", folder=Path(settings["folder"])), values)
    space = heir(shortened(space, share), inherited)
    own = {key: settings[key] for key in ("data", "data_path", "folder")}
    own["seed"] = values.get(SEED, settings["seed"])
    progress = QuietProgress(stages=False)
    try:
        with opened(folder, space, own) as run, also_stop(run.path, study), one_thread():
            with closing(InlineExecutor()) as executor:
                task = task_of(run, space, data_of(run, space), progress, executor)
                _, winner = select(task)
            loss = float(held_out_losses(task, winner.trained).mean())
            if share < 1:
                write_json(found_file(folder), winner.architecture.to_json())
            return {"loss": loss, "architecture": winner.architecture.id, "text": str(winner.architecture)}
    except RunInterrupted:
        raise Stopped from None


def heir(space: SearchSpace, file: Path | None) -> SearchSpace:
    """The space whose finalists an inherited architecture joins, where it can."""
    from fusionnas.search.given import unknown_points

    if file is None or unknown_points(space, Architecture.from_json(json.loads(file.read_text()))):
        return space
    return varied(space, {"search.architectures": [*space.file.search.architectures, str(file)]})


def opened(folder: Path, space: SearchSpace, settings: dict[str, Any]) -> Run:
    """The run in the folder; a trial of other values there was never journaled, and is begun anew."""
    if (folder / "journal.jsonl").is_file():
        run = Run.open(folder)
        if run.settings == settings and (folder / "space.yaml").read_text() == space.to_yaml():
            return run
        run.close()
        shutil.rmtree(folder)
    return Run.create(folder, space=space, settings=settings)
