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
        typer.Option("--format", help="native, torch, onnx, python, aoti or all (without aoti); may be repeated."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder to write; default: RUN/export.")] = None,
    aoti: Annotated[bool, typer.Option("--aoti", help="Also compile it for machines like this one.")] = False,
    as_json: Json = False,
) -> None:
    """Write a run's network in forms that others can use, each checked against the original."""
    from fusionnas.api import export as write

    report = write(run, formats=[*(formats or ["all"]), *(["aoti"] if aoti else [])], output=output)
    if as_json:
        print_json(report)
        return
    folder = output or run / "export"
    print(f"network {report['architecture']} in {folder}")
    for name, form in report.items():
        if isinstance(form, dict):
            for line in _told(form):
                print(f"  {name:8}{line}")


def _told(form: dict[str, Any]) -> list[str]:
    """What to say of one form."""
    if "left_out" in form:
        return [f"left out: {form['left_out']}"]
    worst = max(row["max_difference"] for row in form["batches"].values())
    single = form["batches"]["1"]
    spent = f"; one sample {single['ms']:.2f} ms, in memory {single['eager_ms']:.2f} ms" if "ms" in single else ""
    lines = [f"{form['file']:24}largest difference to the original {worst:.1e}{spent}"]
    return lines + [f"{name}: length is that of training: {why}" for name, why in form.get("fixed", {}).items()]
