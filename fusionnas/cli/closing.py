"""What a finished search tells: the network, a table of it against its baselines, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fusionnas.cli.options import print_json

if TYPE_CHECKING:
    from rich.table import Table

    from fusionnas.api import SearchRun
    from fusionnas.studies import StudyRun

_SHOWN = (3, 2, 1)
"""Metrics in the table, as many as fit: the headline metric first; ``results.json`` has all."""


def close(run: SearchRun, *, as_json: bool) -> None:
    """Print the end of a run, for people or for machines."""
    if as_json:
        print_json({"run": str(run.path), "architecture": run.architecture.to_json(), "results": run.results})
        return
    from fusionnas.cli.front import print_front
    from fusionnas.cli.tables import Console, print_widest

    results = run.results
    console = Console(highlight=False)
    console.print(f"\n[bold]found[/bold] {run.architecture.id}  ", end="")
    console.print(str(run.architecture), markup=False)
    print_widest([comparison(results, shown) for shown in _SHOWN])
    console.print(f"{_caption(results)}\n", markup=False, soft_wrap=not console.is_terminal)
    if "pareto" in results:
        print_front(results["pareto"])
    console.print(results["verdict"], markup=False, soft_wrap=not console.is_terminal)
    told = {
        "run": str(run.path), "network": str(run.path / "export"), "report": str(run.path / "report.html"),
        "next": f"fusionnas show {run.path}   fusionnas diagnose {run.path}   fusionnas evaluate {run.path}",
    }  # fmt: skip
    lines = "\n".join(f"{name:9}{text}" for name, text in told.items())
    console.print(f"\n{lines}", markup=False, soft_wrap=True)


def close_study(study: StudyRun, *, as_json: bool) -> None:
    """Print the end of a study: its trials, and the best of them as any run."""
    best = study.number
    if as_json:
        found = {"run": str(study.best.path), "architecture": study.best.architecture.to_json()}
        told = {"study": str(study.path), "trials": study.trials, "best": best}
        print_json({**told, **found, "results": study.best.results})
        return
    from rich.text import Text

    from fusionnas.cli.tables import new_table, print_table

    keys = list(study.trials[0]["values"])
    table = new_table("trial", "loss on select", *keys, "found", right=["loss on select", *keys])
    for row in sorted(study.trials, key=_place):
        values = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in row["values"].values()]
        loss = "failed" if "failed" in row else f"{_loss(row):.4f}"
        cells = map(Text, (f"{row['number']:04d}", loss, *values, _found(row)))
        table.add_row(*cells, style="bold" if row["number"] == best else None)
    print_table(table)
    close(study.best, as_json=False)


def _loss(row: Mapping[str, Any]) -> float:
    """Of the last rung of a trial."""
    losses = row.get("rungs") or [row.get("loss")]
    return float("inf") if losses[-1] is None else float(losses[-1])


def _place(row: Mapping[str, Any]) -> tuple[bool, int, float]:
    """Whole searches come first, those that failed last."""
    return "failed" in row, -len(row.get("rungs", ())), _loss(row)


def _found(row: Mapping[str, Any]) -> str:
    if "failed" in row:
        return str(row["failed"]).splitlines()[0]
    return str(row["text"]) if "text" in row else f"left after {row['share']} of a search"


def comparison(results: Mapping[str, Any], shown: int) -> Table:
    """The found network and its baselines on the test part, best first by the headline metric."""
    from rich.text import Text

    from fusionnas.cli.tables import new_table

    headline = results["metric"]
    metrics = [headline, *(name for name in results["test"] if name != headline)][:shown]
    columns = ["parameters", *(name.replace("_", "\n") for name in metrics), "found is better by"]
    table = new_table("on test", *columns, right=columns)
    rows = [("found", results, results.get("cost", {}).get("parameters"))]
    rows += [(name, row, row.get("parameters")) for name, row in results["baselines"].items()]
    rows.sort(key=lambda row: row[1]["test"][headline], reverse=headline != "log_loss")
    for name, row, parameters in rows:
        scores = [_score(row["test"].get(metric), (row.get("spread") or {}).get(metric)) for metric in metrics]
        size = "" if parameters is None else f"{parameters:,}"
        cells = map(Text, (name, size, *scores, _difference(row)))
        table.add_row(*cells, style="bold" if row is results else None)
    return table


def _caption(results: Mapping[str, Any]) -> str:
    seeds = results["seeds"]["networks"]
    several = f"mean ± standard deviation of {seeds} seeds" if seeds > 1 else "one seed"
    return f"{several}; difference in {results['metric']} with its 95 % interval"


def _score(mean: float | None, spread: float | None) -> str:
    if mean is None:
        return ""
    return f"{mean:.4f}" + (f" ±{spread:.4f}".replace("0.", ".") if spread is not None else "")


def _difference(row: Mapping[str, Any]) -> str:
    if "difference" not in row:
        return ""
    low, high = row["interval"]
    return f"{row['difference']:+.4f} [{low:+.3f}, {high:+.3f}]"
