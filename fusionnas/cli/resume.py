"""``fusionnas resume``: carry a stopped run on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import Json, Ray, Storage, Workers, workers_of


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")],
    workers: Workers = None,
    ray: Ray = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Carry on a run that was killed or stopped; it ends exactly as if it had not been."""
    from fusionnas.api import resume as carry_on
    from fusionnas.cli.closing import close, close_study
    from fusionnas.errors import InputError
    from fusionnas.run.folder import holds_study
    from fusionnas.run.progress import progress_for

    count, many = workers_of(workers, ray), holds_study(run)
    if storage is not None and not many:
        raise InputError(f"--storage belongs to studies; {run} is one search")
    with progress_for(machine=as_json) as progress:
        if many:
            from fusionnas.studies import resume_study

            trials = resume_study(run, storage=storage, workers=count, ray=ray, progress=progress)
        else:
            ended = carry_on(run, workers=count, ray=ray, progress=progress)
    if many:
        close_study(trials, as_json=as_json)
    else:
        close(ended, as_json=as_json)
