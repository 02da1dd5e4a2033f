"""Diagnosing a finished run: what is written, what is recorded, what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from fusionnas.diagnostics.base import diagnostics
from fusionnas.diagnostics.chart import from_json, to_json
from fusionnas.diagnostics.diagnose import diagnose
from fusionnas.diagnostics.findings import read_findings
from fusionnas.errors import InputError, RunError


def opened(run: Path) -> list[str]:
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    return [line["facts"].get("by", "search") for line in lines if line.get("event") == "test_opened"]


@pytest.fixture
def copy(toy_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy_run, tmp_path / "run"))


def test_findings_are_json_csv_and_read_back(copy: Path) -> None:
    found = diagnose(copy, only=["emap", "interaction"])
    assert read_findings(copy) == json.loads(json.dumps(found)) and list(found) == ["emap", "interaction"]
    for name, content in found.items():
        assert content["question"] == diagnostics[name].facts.question and content["samples"] == 80
        assert content["answer"] and content["split"] == "select"
        assert [to_json(from_json(chart)) for chart in content["charts"]] == content["charts"]
        for title, file in content["files"].items():
            rows = list(csv.DictReader((copy / "diagnostics" / file).read_text().splitlines()))
            assert rows and (title not in content["tables"] or len(rows) == len(content["tables"][title]))


def test_select_is_scored_unless_asked_and_opening_test_is_recorded(copy: Path) -> None:
    diagnose(copy, only=["emap"])
    assert opened(copy) == ["search"]
    on_test = diagnose(copy, only=["emap"], split="test")
    assert opened(copy) == ["search", "diagnose"]
    assert on_test["emap"]["split"] == "test" and on_test["emap"]["samples"] == 100


def test_the_same_run_gives_the_same_findings(copy: Path, toy_run: Path, tmp_path: Path) -> None:
    other = shutil.copytree(toy_run, tmp_path / "other")
    assert diagnose(copy, only=["emap", "probes"]) == diagnose(other, only=["emap", "probes"])


def test_a_diagnosed_run_is_still_finished(copy: Path) -> None:
    from fusionnas.api import resume

    diagnose(copy, only=["probes"])
    assert resume(copy).path == copy


def test_what_cannot_be_diagnosed_is_told(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown diagnostic\n  'emaps': Did you mean 'emap'\? Known: "):
        diagnose(copy, only=["emaps"])
    with pytest.raises(InputError, match="split: given 'train', expected 'select' or 'test'"):
        diagnose(copy, split="train")
    with pytest.raises(RunError, match="is no run: there is no such folder"):
        diagnose(tmp_path / "nothing")
    (copy / "architecture.json").unlink()
    with pytest.raises(RunError, match="is not finished; `fusionnas resume .*` goes on, then diagnose it"):
        diagnose(copy)


def test_a_run_without_encoder_layers_is_refused(copy: Path) -> None:
    from fusionnas.run import Run

    with Run.open(copy) as run:
        results = run.read_json("results.json")
        del results["search"]["layers"]
        run.write_json("results.json", results)
    with pytest.raises(RunError, match="was searched by an older fusionnas that kept no encoder layers"):
        diagnose(copy, only=["emap"])
