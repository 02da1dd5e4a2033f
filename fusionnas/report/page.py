"""From run folders to one HTML page, its figures as SVG files and its numbers as CSV files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from fusionnas.diagnostics.chart import Intervals
from fusionnas.report.block import Block, Table, figure_of
from fusionnas.report.blocks import blocks_of
from fusionnas.report.source import Told, read_run
from fusionnas.report.verdict import question, verdict
from fusionnas.run.files import write_atomic
from fusionnas.version import __version__


@dataclass(frozen=True)
class RunPage:
    """One run as the page shows it.

    Attributes:
        name: of the run's folder.
        question, verdict: what was asked, and the answer in two sentences.
        tiles: the key numbers by name.
        blocks: everything else.
    """

    name: str
    question: str
    verdict: tuple[str, str]
    tiles: Sequence[tuple[str, str]]
    blocks: Sequence[Block]


def write_report(runs: Sequence[Path], output: Path) -> list[Path]:
    """Write the report of one run, or of several side by side.

    Args:
        runs: run folders that have come to their results.
        output: the HTML file. Figures go beside it, into a folder of the same name without ``.html``.

    Returns:
        all files written, the page first.

    Raises:
        RunError: a folder holds no run with results, or a file cannot be written.
    """
    told = [read_run(run) for run in runs]
    pages = [_page(one, f"run{place + 1}-" if len(told) > 1 else "") for place, one in enumerate(told)]
    together = _together(told) if len(told) > 1 else Block("")
    html = _template().render(
        title=f"fusionnas: {', '.join(page.name for page in pages)}", runs=pages, together=together,
        diagnosed=all(one.findings for one in told), version=__version__,
    )  # fmt: skip
    written = [output]
    write_atomic(output, html.encode())
    folder = output.with_suffix("")
    for block in [together, *(block for page in pages for block in page.blocks)]:
        for figure in block.figures:
            write_atomic(folder / f"{figure.key}.svg", figure.svg.encode())
            written.append(folder / f"{figure.key}.svg")
            if figure.rows:
                write_atomic(folder / f"{figure.key}.csv", figure.csv.encode())
                written.append(folder / f"{figure.key}.csv")
    return written


def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["figures"] = _figures
    return environment.get_template("page.html")


def _figures(value: float) -> str:
    """A number of a table: four significant digits, thousands apart."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _page(told: Told, prefix: str) -> RunPage:
    asked = question(told.space.name, told.sources, _target(told))
    return RunPage(told.name, asked, verdict(told.results, told.sources), _tiles(told), blocks_of(told, prefix))


def _target(told: Told) -> str:
    return told.space.file.task.target.replace("_", " ")


def _tiles(told: Told) -> list[tuple[str, str]]:
    results, metric = told.results, told.metric
    spread = (results.get("spread") or {}).get(metric)
    name = metric.replace("_", " ") + " on test" + (f" (± {spread:.4f})" if spread is not None else "")
    tiles = [(name, f"{results['test'][metric]:.4f}")]
    won = [entry for entry in results["baselines"].values() if entry["interval"][0] > 0]
    lost = [entry for entry in results["baselines"].values() if entry["interval"][1] < 0]
    tiles.append(("alternatives clearly worse", f"{len(won)} of {len(results['baselines'])}"))
    tiles.append(("alternatives clearly better", f"{len(lost)} of {len(results['baselines'])}"))
    tiles.append(("modalities read", f"{len(results['modalities'])} of {len(told.sources)}"))
    cost: dict[str, Any] = results["cost"]
    tiles.append(("parameters", f"{cost['parameters']:,}"))
    if "latency_ms" in cost:
        tiles.append((f"ms per {cost['latency_batch']} samples", f"{cost['latency_ms']:.2f}"))
    return tiles


def _together(told: Sequence[Told]) -> Block:
    """Several runs: one column each."""
    names = _distinct([one.name for one in told])
    columns = [_column(one) for one in told]
    rows = [{"": label, **{n: c[label] for n, c in zip(names, columns, strict=True)}} for label in columns[0]]
    figures = []
    if len({one.metric for one in told}) == 1:
        scores = [one.results["test"][one.metric] for one in told]
        spread = [(one.results.get("spread") or {}).get(one.metric) for one in told]
        chart = Intervals(
            "Score of the found networks", f"{told[0].metric} on test (± one standard deviation over seeds)", names,
            scores, [None if s is None else v - s for v, s in zip(scores, spread, strict=True)],
            [None if s is None else v + s for v, s in zip(scores, spread, strict=True)],
        )  # fmt: skip
        figures.append(figure_of(chart, "runs"))
    return Block("Side by side", figures=figures, tables=[Table("runs", rows)])


def _column(told: Told) -> dict[str, Any]:
    results, cost = told.results, told.results["cost"]
    return {
        "network": str(told.architecture),
        "reads": ", ".join(results["modalities"]),
        "same as": results.get("known_as") or "",
        "metric": told.metric,
        "on test": results["test"][told.metric],
        "parameters": cost["parameters"],
        "multiply-adds": cost.get("macs"),
        "milliseconds": cost.get("latency_ms"),
        "method": results["search"]["method"],
        "seed": results["seeds"]["run"],
        "seconds": results.get("seconds"),
    }


def _distinct(names: Sequence[str]) -> list[str]:
    return [name if names.count(name) == 1 else f"{name} ({place + 1})" for place, name in enumerate(names)]
