"""``fusionnas report``: one self-contained page about one run, or several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fusionnas.cli.app import app
from fusionnas.cli.options import Json, print_json


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished runs.")],
    output: Annotated[
        Path | None, typer.Option(help="HTML file; default: RUN/report.html, report.html for several runs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a page that says what was found and whether fusion was worth it; figures beside it as SVG and CSV."""
    from fusionnas.report.page import write_report

    page = output or (runs[0] / "report.html" if len(runs) == 1 else Path("report.html"))
    written = write_report(runs, page)
    if as_json:
        print_json({"page": str(page), "files": [str(path) for path in written[1:]]})
    else:
        print(f"written to {page}, {len(written) - 1} figures and tables to {page.with_suffix('')}")
