"""``fusionnas predict``: probabilities for new samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import AnyForm, Data, DataPath, Json, print_json


@app.command()
def predict(
    trained: AnyForm,
    output: Annotated[Path, typer.Option(help="CSV file to write: id, one probability per class, predicted class.")],
    data: Data = None,
    data_path: DataPath = None,
    as_json: Json = False,
) -> None:
    """Predict with a run's or an export's network; labels are not needed."""
    from fusionnas.api import predict as run_network

    report = run_network(trained, output=output, data=data, data_path=data_path)
    if as_json:
        print_json(report)
    else:
        print(f"{report['n']:,} predictions in {report['file']}")
