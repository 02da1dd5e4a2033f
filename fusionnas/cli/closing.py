"""What a finished search tells: the network, a table of it against its baselines, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fusionnas.cli.options import print_json

if TYPE_CHECKING:
    from rich.table import Table

    from fusionnas.api import SearchRun

_SHOWN = 3
"""Metrics in the table: the headline metric and the next ones; ``results.json`` has all."""


def close(run: SearchRun, *, as_json: bool) -> None:
    """Print the end of a run, for people or for machines."""
    if as_json:
        print_json({"run": str(run.path), "architecture": run.architecture.to_json(), "results": run.results})
        return
    from rich.console import Console

    from fusionnas.cli.tables import print_table

    results = run.results
    console = Console(highlight=False)
    console.print(f"\n[bold]found[/bold] {run.architecture.id}  ", end="")
    console.print(str(run.architecture), markup=False)
    print_table(comparison(results))
    console.print(results["verdict"], markup=False)
    console.print(f"\nrun      {run.path}\nnetwork  {run.path / 'export'}", markup=False)
    console.print(f"next     fusionnas show {run.path}   fusionnas evaluate {run.path}", markup=False)


def comparison(results: Mapping[str, Any]) -> Table:
    """The found network and its baselines on the test part, best first by the headline metric."""
    from rich.text import Text

    from fusionnas.cli.tables import new_table

    headline = results["metric"]
    metrics = [headline, *(name for name in results["test"] if name != headline)][:_SHOWN]
    columns = ["parameters", *metrics, "found is better by"]
    table = new_table("on test", *columns, right=columns)
    rows = [("found", results, results.get("cost", {}).get("parameters"))]
    rows += [(name, row, row.get("parameters")) for name, row in results["baselines"].items()]
    rows.sort(key=lambda row: row[1]["test"][headline], reverse=headline != "log_loss")
    for name, row, parameters in rows:
        scores = [_score(row["test"].get(metric), (row.get("spread") or {}).get(metric)) for metric in metrics]
        size = "" if parameters is None else f"{parameters:,}"
        table.add_row(*map(Text, (name, size, *scores, _difference(row))), style="bold" if row is results else None)
    seeds = results.get("seeds", {}).get("networks")
    if seeds:
        table.caption = f"mean ± standard deviation of {seeds} seeds; difference in {headline} with 95 % interval"
    return table


def _score(mean: float | None, spread: float | None) -> str:
    if mean is None:
        return ""
    return f"{mean:.4f}" + (f" ± {spread:.4f}" if spread is not None else "")


def _difference(row: Mapping[str, Any]) -> str:
    if "difference" not in row:
        return ""
    low, high = row["interval"]
    return f"{row['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
