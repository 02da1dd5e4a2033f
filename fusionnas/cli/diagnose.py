"""``fusionnas diagnose``: which modality, which interaction, was fusion worth it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import Json, Workers, cores, print_json

_LONGEST = 12
"""Rows of a table that a terminal shows; the CSV file has all."""


@app.command()
def diagnose(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run.")],
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="This diagnostic; may be repeated.")] = None,
    split: Annotated[str, typer.Option(help="select, or test: the run then records one more opening.")] = "select",
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Say which modality and which interaction did the work, and whether fusion was worth it."""
    from fusionnas.diagnostics.diagnose import diagnose as examine
    from fusionnas.diagnostics.findings import FOLDER
    from fusionnas.run.progress import progress_for

    with progress_for(machine=as_json) as progress:
        found = examine(run, only=only or (), split=split, workers=workers or cores(), progress=progress)
    if as_json:
        print_json(found)
        return
    for content in found.values():
        _digest(content)
    print(f"written to {run / FOLDER}")


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
