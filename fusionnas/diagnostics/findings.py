"""What a diagnostic found, kept beside the run.

``RUN/diagnostics/NAME.json`` holds everything; every table and chart is also a CSV of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusionnas.diagnostics.chart import Chart, to_json
from fusionnas.run.files import write_csv, write_json

FOLDER = "diagnostics"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Findings:
    """What a diagnostic found.

    Attributes:
        answer: a few sentences for people, the answer first.
        facts: plain data, all that the sentences rest on.
        tables: rows of equal keys by title; each becomes a CSV file.
        charts: what the report draws.
    """

    answer: Sequence[str]
    facts: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    charts: Sequence[Chart] = ()


def as_content(name: str, question: str, findings: Findings, about: Mapping[str, Any]) -> dict[str, Any]:
    """Findings as the plain data of their JSON file; ``files`` has the CSV of every table and chart by title."""
    titles = [*(title for title, rows in findings.tables.items() if rows), *(c.title for c in findings.charts)]
    return {
        "diagnostic": name,
        "question": question,
        **about,
        "answer": list(findings.answer),
        "facts": dict(findings.facts),
        "tables": {title: list(rows) for title, rows in findings.tables.items()},
        "charts": [to_json(chart) for chart in findings.charts],
        "files": {title: f"{name}-{_slug(title)}.csv" for title in titles},
    }


def write_findings(
    folder: Path, name: str, question: str, findings: Findings, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Write ``NAME.json`` and one CSV per table and chart; returns what the JSON holds."""
    content = as_content(name, question, findings, about)
    rows = {**findings.tables, **{chart.title: chart.rows() for chart in findings.charts}}
    for title, file in content["files"].items():
        write_csv(folder / file, rows[title])
    write_json(folder / f"{name}.json", content)
    return content


def read_findings(run_dir: Path) -> dict[str, dict[str, Any]]:
    """What diagnostics of a run have found so far, by name."""
    files = sorted((run_dir / FOLDER).glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:60]
