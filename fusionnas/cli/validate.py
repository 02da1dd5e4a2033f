"""``fusionnas validate``: all that is wrong in a space file, at once."""

from __future__ import annotations

from typing import Annotated

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import Json, Settings, print_json


@app.command()
def validate(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="Space file, or the name of a bundled space.")],
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Check a space file; every problem is told, as file:line:column."""
    from fusionnas.space import SearchSpace

    loaded = SearchSpace.load(space, settings or ())
    if as_json:
        print_json({"name": loaded.name, "modalities": list(loaded.groups()), "points": len(loaded.points()),
                    "size": loaded.size()})  # fmt: skip
    else:
        print(f"{loaded.summary}\nno problems")
