"""``fusionnas``: find where, when and how the modalities of a network should be fused."""

from __future__ import annotations

from typing import Annotated

import typer

# Each import registers its command, in the order of the help page.
from fusionnas.cli import search, resume, status, export, evaluate, predict, serve, adapt  # isort: skip  # noqa: F401
from fusionnas.cli import show, diagnose, report, listing, validate, schema, data, bench  # isort: skip  # noqa: F401
from fusionnas.cli.app import app
from fusionnas.stopping import install_signals
from fusionnas.version import __version__


def _version(asked: bool) -> None:
    if asked:
        print(f"fusionnas {__version__}")
        raise typer.Exit


@app.callback(epilog="Exit status: 0 done, 2 wrong input, 130 interrupted, 1 anything else.")
def fusionnas(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find where, when and how the modalities of a network should be fused.

    Start with: fusionnas search --space ehr.yaml
    """


def main() -> None:
    """Entry point; Ctrl-C and SIGTERM end a command so that it can be resumed."""
    install_signals()
    app(prog_name="fusionnas")
