"""Options that several commands share, and printing for machines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Space = Annotated[str, typer.Option("--space", help="Space file, or the name of a bundled space such as ehr.yaml.")]
Data = Annotated[
    str | None, typer.Option("--data", help="Registered data set, or a file or folder; default: the space's own.")
]
DataPath = Annotated[
    Path | None, typer.Option("--data-path", help="Folder from which the data set is read instead of its usual place.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=V", help="Override a key of the space; may be repeated.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines, and nothing else, on stdout.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes that train at the same time; default: one per core.")
]
Ray = Annotated[
    str | None,
    typer.Option("--ray", metavar="ADDRESS", help="Train on a Ray cluster: local starts one; auto; HOST:PORT."),
]
Storage = Annotated[
    str | None,
    typer.Option("--storage", metavar="URL", help="With --trials: sqlite:///FILE or postgresql://... also gets them."),
]
Trained = Annotated[Path, typer.Argument(metavar="RUN|EXPORT", help="A finished run, or an export.")]
AnyForm = Annotated[
    Path, typer.Argument(metavar="RUN|EXPORT", help="A finished run, an export, or a file of it: export/model.onnx.")
]


def print_json(data: Any) -> None:
    """JSON on stdout; NaN and the infinities as null."""
    from fusionnas.run.plain import json_bytes

    sys.stdout.write(json_bytes(data).decode())


def workers_of(workers: int | None, ray: str | None = None) -> int | None:
    """As asked; else one per core, or on a Ray cluster what it has room for."""
    from fusionnas.execution.choose import cores

    return workers or (None if ray is not None else cores())
