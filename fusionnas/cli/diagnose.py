"""``fusionnas diagnose``: which modality, which interaction, was fusion worth it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import DataPath, Json, Workers, print_json

_LONGEST = 12
"""Rows of a table that a terminal shows; the CSV file has all."""


@app.command()
def diagnose(
    what: Annotated[str, typer.Argument(metavar="RUN|DATASET", help="A finished run; or a data set, space or file.")],
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="This diagnostic of a run; may be repeated.")
    ] = None,
    split: Annotated[str, typer.Option(help="select, or test: the run then records one more opening.")] = "select",
    space: Annotated[
        str | None, typer.Option(help="Space that says which modalities of a data set are read.")
    ] = None,
    data_path: DataPath = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Say which modality and interaction did the work of a run; of a data set, where a search should start."""
    from fusionnas.run.progress import progress_for

    with progress_for(machine=as_json) as progress:
        if _is_run(what):
            from fusionnas.diagnostics.diagnose import diagnose as examine
            from fusionnas.execution.choose import cores

            found = examine(
                Path(what), only=only or (), split=split, workers=workers or cores(), progress=progress
            )  # fmt: skip
        else:
            from fusionnas.diagnostics.diagnose import diagnose_data

            progress.stage("quick models", 1)
            found = diagnose_data(what, space=space, data_path=data_path)
    if as_json:
        print_json(found)
        return
    for content in found.values():
        _digest(content)
    if _is_run(what):
        print(f"written to {Path(what) / 'diagnostics'}")


def _is_run(what: str) -> bool:
    return (Path(what) / "journal.jsonl").exists() or (Path(what) / "space.yaml").exists()


def _digest(content: Mapping[str, Any]) -> None:
    """Question, answer and the first table."""
    from rich.console import Console

    from fusionnas.cli.tables import print_rows

    console = Console(highlight=False)
    console.print(f"\n[bold]{content['diagnostic']}[/bold]  ", end="")
    console.print(content["question"], markup=False, soft_wrap=not console.is_terminal)
    for sentence in content["answer"]:
        console.print(f"  {sentence}", markup=False, soft_wrap=not console.is_terminal)
    for title, rows in list(content["tables"].items())[:1]:
        console.print(f"  {title}:", style="dim")
        print_rows(rows[:_LONGEST])
        if len(rows) > _LONGEST:
            console.print(f"  and {len(rows) - _LONGEST} more rows", style="dim")
