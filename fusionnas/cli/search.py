"""``fusionnas search``: the whole way from a space file to an exported network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import Data, DataPath, Json, Ray, Settings, Space, Storage, Workers, workers_of


@app.command()
def search(
    space: Space,
    data: Data = None,
    data_path: DataPath = None,
    method: Annotated[str | None, typer.Option(help="Search method; see: fusionnas list methods.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds of the final networks and baselines.")] = None,
    run_dir: Annotated[Path | None, typer.Option(help="New or empty folder; default: runs/NAME-0001, ...")] = None,
    workers: Workers = None,
    ray: Ray = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Search so often over the space's `study` ranges.")] = None,
    sampler: Annotated[str, typer.Option(help="With --trials: tpe, random, nsga2 or gp.")] = "tpe",
    scheduler: Annotated[str, typer.Option(help="With --trials: none; asha or pbt leave poor ones early.")] = "none",
    storage: Storage = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Search, retrain, test once, export: all in one run folder."""
    from fusionnas.api import search as run_search
    from fusionnas.cli.closing import close, close_study
    from fusionnas.errors import InputError
    from fusionnas.run.progress import progress_for
    from fusionnas.space import SearchSpace

    overrides = list(settings or ())
    overrides += [f"search.method={method}"] if method is not None else []
    overrides += [f"search.seeds={seeds}"] if seeds is not None else []
    loaded = SearchSpace.load(space, overrides)
    given: dict[str, Any] = {"data": data, "data_path": data_path, "seed": seed, "run_dir": run_dir}
    given |= {"workers": workers_of(workers, ray), "ray": ray}
    if trials is None:
        if storage is not None or (sampler, scheduler) != ("tpe", "none"):
            raise InputError("--sampler, --scheduler and --storage belong to --trials, which is not given")
        with progress_for(machine=as_json) as progress:
            run = run_search(loaded, **given, progress=progress)
        close(run, as_json=as_json)
        return
    from fusionnas.studies import study

    with progress_for(machine=as_json) as progress:
        chosen: dict[str, Any] = {"sampler": sampler, "scheduler": scheduler, "storage": storage}
        many = study(loaded, trials=trials, **chosen, **given, progress=progress)
    close_study(many, as_json=as_json)
