"""``fusionnas bench``: the project's benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import Json, Workers, print_json


@app.command()
def bench(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Benchmark; see: fusionnas list benchmarks.")],
    words: Annotated[list[str] | None, typer.Argument(metavar="[WORD]...", help="What some of them ask for.")] = None,
    output: Annotated[Path | None, typer.Option(help="CSV file to write; default: results/NAME.csv.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="First seed.")] = 0,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Run one of the project's benchmarks and write its table."""
    from fusionnas.bench import run_bench
    from fusionnas.cli.tables import print_rows
    from fusionnas.execution.choose import cores
    from fusionnas.run.progress import progress_for

    file = output or Path("results") / f"{name}.csv"
    with progress_for(machine=as_json) as progress:
        rows = run_bench(name, file, words or (), seed=seed, workers=workers or cores(), progress=progress)
    if as_json:
        print_json(rows)
    else:
        print_rows(rows)
        print(f"written to {file}")
