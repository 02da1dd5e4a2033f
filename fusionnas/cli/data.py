"""``fusionnas data``: what a data set holds, and where to get it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import DataPath, Json, print_json

group = typer.Typer(no_args_is_help=True, help="Describe a data set, or say where to get it.")
app.add_typer(group, name="data")

Name = Annotated[str, typer.Argument(metavar="NAME|SPACE", help="Registered data set, or a space file with its data.")]


@group.command()
def describe(
    name: Name,
    data_path: DataPath = None,
    space: Annotated[str, typer.Option(help="Space that says which modalities of a registered set are read.")] = "ehr",
    as_json: Json = False,
) -> None:
    """Load, split and preprocess a data set as a search would, and say what came out."""
    from fusionnas.data.base import datasets
    from fusionnas.data.describe import describe as in_words
    from fusionnas.data.load import load_dataset
    from fusionnas.space import SearchSpace

    known = name in datasets
    loaded = SearchSpace.load(space if known else name)
    dataset = load_dataset(loaded, data=name if known else None, data_path=data_path)
    report = in_words(dataset)
    if as_json:
        print_json(report)
    else:
        _print(report)


@group.command()
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Registered data set.")],
) -> None:
    """Say where a registered data set comes from, under which licence, and where to put it."""
    import inspect

    from fusionnas.data.base import datasets

    source = inspect.getmodule(datasets[name])
    text = inspect.getdoc(source) or inspect.getdoc(datasets[name]) or name
    print(text.replace("``", ""))


def _print(report: dict[str, Any]) -> None:
    for section, content in report.items():
        if isinstance(content, dict):
            print(f"{section}:" if content else f"{section}: none")
            for name, value in content.items():
                print(f"  {name:20}{_inline(value)}")
        else:
            print("\n".join([f"{section}:", *(f"  {item}" for item in content)]) if content else f"{section}: none")


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_inline(item)}" for key, item in value.items() if item != {})
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_inline, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and value > 9999 else str(value)
