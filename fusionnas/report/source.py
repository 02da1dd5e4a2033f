"""What a run folder tells: the files that a report reads. No search code, no data, no weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionnas.architecture import Architecture
from fusionnas.diagnostics.findings import read_findings
from fusionnas.errors import RunError
from fusionnas.run.folder import read_file
from fusionnas.run.journal import Journal
from fusionnas.show.alternatives import Alternatives, read_alternatives
from fusionnas.show.reading import read_architecture
from fusionnas.space import SearchSpace


@dataclass(frozen=True)
class Told:
    """A run as its folder tells it.

    Attributes:
        name: of the folder; where it lies is nobody's business.
        space: what was searched.
        results: the content of ``results.json``.
        architecture: what was found.
        alternatives: runner-up choices, where they are known.
        environment: versions, commit, device of the machine.
        settings: seed and data, as given.
        findings: what diagnostics have found so far.
        export: sizes and times of the exported forms; empty where there are none.
        opened: how often the test part was opened.
    """

    name: str
    space: SearchSpace
    results: Mapping[str, Any]
    architecture: Architecture
    alternatives: Alternatives
    environment: Mapping[str, Any]
    settings: Mapping[str, Any]
    findings: Mapping[str, Mapping[str, Any]]
    export: Mapping[str, Any]
    opened: int

    @property
    def sources(self) -> tuple[str, ...]:
        """All modalities, views of one source once."""
        return tuple(self.space.groups())

    @property
    def metric(self) -> str:
        """The headline metric."""
        return str(self.results["metric"])


def read_run(path: Path) -> Told:
    """Read a run that has come to its results.

    Raises:
        RunError: no run there, or it has no results yet.
    """
    if not (path / "journal.jsonl").is_file():
        where = "no such folder" if not path.is_dir() else "it has no journal.jsonl"
        raise RunError(f"{path} is no run: {where}; a report needs the folder of a finished run")
    results = json.loads(read_file(path, "results.json"))
    journal = Journal(path / "journal.jsonl").entries
    settings = journal[0]["settings"]
    export = path / "export" / "export.json"
    architecture = read_architecture(path)
    return Told(
        name=path.resolve().name,
        space=SearchSpace.load(path / "space.yaml", folder=Path(settings["folder"]), method=False),
        results=results,
        architecture=architecture,
        alternatives=read_alternatives(path, architecture),
        environment=journal[0]["environment"],
        settings=settings,
        findings=read_findings(path),
        export=json.loads(export.read_text(encoding="utf-8")) if export.is_file() else {},
        opened=sum(entry.get("event") == "test_opened" for entry in journal),
    )
