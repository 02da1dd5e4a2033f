"""``fusionnas evaluate``: metrics of a trained network."""

from __future__ import annotations

from typing import Annotated

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import AnyForm, Data, DataPath, Json, print_json


@app.command()
def evaluate(
    trained: AnyForm,
    data: Data = None,
    data_path: DataPath = None,
    split: Annotated[str, typer.Option(help="test, or development (what the network was trained on).")] = "test",
    as_json: Json = False,
) -> None:
    """Score a run's or an export's network on labelled data."""
    from fusionnas.api import evaluate as score

    report = score(trained, data=data, data_path=data_path, split=split)
    if as_json:
        print_json(report)
        return
    print(f"{report['n']:,} samples of {report['data']} ({report['split']})")
    for name, value in report["metrics"].items():
        print(f"  {name:20}{value:8.4f}")
