"""``fusionnas export``: a run's network in forms that others can use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import Json, Trained, print_json


@app.command()
def export(
    run: Trained,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="native (JSON, safetensors), torch (model.pt2) or all; may be repeated."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder to write; default: RUN/export.")] = None,
    as_json: Json = False,
) -> None:
    """Write a run's network in forms that others can use, each checked against the original."""
    from fusionnas.api import export as write

    report = write(run, formats=formats or ["all"], output=output)
    if as_json:
        print_json(report)
        return
    folder = output or run / "export"
    print(f"network {report['architecture']} in {folder}")
    for name, form in report.items():
        if isinstance(form, dict):
            print(f"  {name:8}{form.get('file', ''):24}{_checked(form)}")


def _checked(form: dict[str, Any]) -> str:
    worst = [row["max_difference"] for row in (form, *form.get("batches", {}).values()) if "max_difference" in row]
    return f"largest difference to the original {max(worst):.1e}" if worst else ""
