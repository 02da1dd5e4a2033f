"""The front in a report, in the terminal, and after a search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fusionnas.architecture import Architecture, Point
from fusionnas.cli.front import print_front
from fusionnas.report.front import front_block
from fusionnas.show import read_front

FRONT: dict[str, Any] = {
    "objectives": ["accuracy", "parameters", "latency_ms"], "found": "aa", "recommended": "bb", "hypervolume": 0.75,
    "candidates": 5, "front": [
        {"id": "aa", "architecture": "mlp(a.0, b.0)", "accuracy": 0.91, "parameters": 21_000.0, "latency_ms": 0.51},
        {"id": "bb", "architecture": "additive(a.0, b.0)", "accuracy": 0.9, "parameters": 900.0, "latency_ms": 0.25},
        {"id": "cc", "architecture": "b.0", "accuracy": 0.7, "parameters": 900.0, "latency_ms": 0.125},
    ],
}  # fmt: skip


def test_a_report_draws_what_a_better_score_costs() -> None:
    block = front_block(FRONT, "one-")
    assert block is not None and len(block.figures) == 2
    assert "Of 5 networks" in block.text[0] and "cover 75%" in block.text[0]
    assert [row["recommended"] for row in block.tables[0].rows] == ["", "yes", ""]
    assert block.figures[0].rows == [{"parameters": 900.0, "accuracy": 0.9}, {"parameters": 21_000.0, "accuracy": 0.91}]
    assert front_block(None, "one-") is None


def test_the_terminal_shows_the_front_with_its_marks(capsys: pytest.CaptureFixture[str]) -> None:
    print_front(FRONT)
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "." in line]
    assert rows[0][:5] == ["found", "0.91", "21,000", "0.51", "mlp(a.0,"]
    assert rows[1][:4] == ["recommended", "0.9", "900", "0.25"] and rows[2] == ["0.7", "900", "0.125", "b.0"]


def test_only_a_finished_run_with_several_objectives_has_a_front(tmp_path: Path) -> None:
    assert read_front(tmp_path) is None
    (tmp_path / "results.json").write_text(json.dumps({"pareto": FRONT}))
    assert read_front(tmp_path) == FRONT
    (tmp_path / "results.json").write_text("{}")
    assert read_front(tmp_path) is None


def test_show_prints_the_front_below_the_network(tmp_path: Path, fusionnas: Any) -> None:
    architecture = Architecture((("a", ()),), (), Point("a", 0))
    (tmp_path / "architecture.json").write_text(json.dumps(architecture.to_json()))
    (tmp_path / "results.json").write_text(json.dumps({"pareto": FRONT}))
    assert "recommended" in fusionnas("show", str(tmp_path)).stdout
