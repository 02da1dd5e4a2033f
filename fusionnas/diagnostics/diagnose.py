"""Running diagnostics of a run and keeping what they found beside it.

``RUN/diagnostics/NAME.json`` holds everything; every table and chart is also a CSV of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionnas.diagnostics.base import Findings, diagnostics
from fusionnas.diagnostics.chart import to_json
from fusionnas.errors import InputError, did_you_mean
from fusionnas.run.files import write_csv, write_json

if TYPE_CHECKING:
    from fusionnas.run.progress import Progress

FOLDER = "diagnostics"


def diagnose(
    run_dir: Path,
    *,
    only: Sequence[str] = (),
    split: str = "select",
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, dict[str, Any]]:
    """Ask a finished run: which modality, which interaction, was fusion worth it, what if an input is missing.

    Args:
        run_dir: a finished run.
        only: names of diagnostics; default: all.
        split: the part that is scored. "select", which the networks looked at did not train on, or "test": then the
            run records that its test part was opened once more.
        workers: processes that train networks at the same time.
        progress: where to tell how far it is.

    Returns:
        per diagnostic the content of its JSON file.

    Raises:
        InputError: an unknown name or split. RunError, DataError: run or data cannot be used.
    """
    from fusionnas.diagnostics.subject import opened
    from fusionnas.run.progress import QuietProgress

    unknown = [name for name in only if name not in diagnostics]
    if unknown:
        raise InputError("unknown diagnostic", [f"'{name}':{did_you_mean(name, diagnostics)}" for name in unknown])
    shown = progress or QuietProgress(stages=False)
    found = {}
    with opened(run_dir, split=split, workers=workers, progress=shown) as subject:
        for name in dict.fromkeys(only or diagnostics):
            shown.stage(f"diagnose: {name}", 1)
            findings = diagnostics[name](subject)
            about = {"split": split, "samples": len(subject.part), "metric": subject.metric}
            found[name] = write_findings(run_dir / FOLDER, name, diagnostics[name].facts.question, findings, about)
    return found


def write_findings(
    folder: Path, name: str, question: str, findings: Findings, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Write ``NAME.json`` and one CSV per table and chart; returns what the JSON holds."""
    tables = {**findings.tables, **{chart.title: chart.rows() for chart in findings.charts}}
    files = {title: f"{name}-{_slug(title)}.csv" for title, rows in tables.items() if rows}
    content = {
        "diagnostic": name,
        "question": question,
        **about,
        "answer": list(findings.answer),
        "facts": dict(findings.facts),
        "tables": {title: list(rows) for title, rows in findings.tables.items()},
        "charts": [to_json(chart) for chart in findings.charts],
        "files": files,
    }
    for title, file in files.items():
        write_csv(folder / file, tables[title])
    write_json(folder / f"{name}.json", content)
    return content


def read_findings(run_dir: Path) -> dict[str, dict[str, Any]]:
    """What diagnostics of a run have found so far, by name."""
    files = sorted((run_dir / FOLDER).glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:60]
