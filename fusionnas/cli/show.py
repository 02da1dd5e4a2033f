"""``fusionnas show``: the network, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import Json, print_json


@app.command()
def show(
    what: Annotated[Path, typer.Argument(metavar="RUN|ARCHITECTURE", help="A run, an export or an architecture.json.")],
    output: Annotated[Path | None, typer.Option(help="Picture to write: .svg, .png or .pdf.")] = None,
    as_json: Json = False,
) -> None:
    """Draw the network in the terminal or as a picture, runner-up choices faintly, and the front where there is one."""
    from fusionnas.cli.front import print_front
    from fusionnas.cli.tables import Console
    from fusionnas.show import draw_terminal, read_alternatives, read_architecture, read_front, write_picture

    architecture = read_architecture(what)
    alternatives = read_alternatives(what, architecture)
    if output is not None:
        write_picture(architecture, output, alternatives)
    if as_json:
        print_json(architecture.to_json())
    elif output is None:
        draw_terminal(architecture, Console(), alternatives)
        front = read_front(what)
        if front is not None:
            print_front(front)
    else:
        print(f"drawn in {output}")
