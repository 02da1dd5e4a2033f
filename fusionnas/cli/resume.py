"""``fusionnas resume``: carry a stopped run on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import Json, Ray, Workers, workers_of


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run's folder.")],
    workers: Workers = None,
    ray: Ray = None,
    as_json: Json = False,
) -> None:
    """Carry on a run that was killed or stopped; it ends exactly as if it had not been."""
    from fusionnas.api import resume as carry_on
    from fusionnas.cli.closing import close
    from fusionnas.run.progress import progress_for

    with progress_for(machine=as_json) as progress:
        ended = carry_on(run, workers=workers_of(workers, ray), ray=ray, progress=progress)
    close(ended, as_json=as_json)
