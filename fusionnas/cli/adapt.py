"""``fusionnas adapt``: a trained network learns low-rank updates on more data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import Data, DataPath, Json, Settings, Trained, print_json


@app.command()
def adapt(
    trained: Trained,
    output: Annotated[Path, typer.Option(help="Folder for the adapted network, a native export.")],
    data: Data = None,
    data_path: DataPath = None,
    part: Annotated[
        list[str] | None, typer.Option("--part", help="encoders or fusion; may be repeated. Default: both.")
    ] = None,
    settings: Settings = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of split, updates and training.")] = 0,
    as_json: Json = False,
) -> None:
    """Adapt a run's or an export's network to more labelled data by low-rank updates (LoRA)."""
    from fusionnas.cli.tables import print_rows
    from fusionnas.run.progress import progress_for
    from fusionnas.transfer import PARTS
    from fusionnas.transfer import adapt as run

    with progress_for(machine=as_json) as progress:
        report = run(
            trained, output=output, data=data, data_path=data_path, parts=part or PARTS, overrides=settings or (),
            seed=seed, progress=progress,
        )  # fmt: skip
    if as_json:
        print_json(report)
        return
    metrics = report["after"]
    print_rows([{"": when, **{name: f"{report[when][name]:.4f}" for name in metrics}} for when in ("before", "after")])
    print(f"{report['trained']:,} weights of updates trained for {report['weights']:,}, on {report['n']:,} held-out "
          f"samples the best epoch was chosen\nnetwork in {report['output']}")  # fmt: skip
