"""The sweep over forms: what passes, what is left out, and that a crash is counted, not hidden."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fusionnas.architecture import Gates, Node, NodeRef, Point
from fusionnas.bench import forms as bench
from fusionnas.export.form import forms
from fusionnas.run.progress import QuietProgress
from tests.export.test_forms import FREE, network_of


@pytest.mark.slow
def test_a_few_random_architectures_pass_in_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench, "COUNT", 2)
    rows = bench.bench_forms(tmp_path / "forms.csv", seed=3, workers=2, progress=QuietProgress())
    assert {row["form"]: row["passed"] for row in rows} == {"native": 2, "torch": 2, "onnx": 2, "python": 2}
    assert all(row["crashed"] == row["differs"] == 0 for row in rows)
    assert (tmp_path / "forms.csv").read_text().startswith("form,architectures,passed")


def test_a_crash_is_counted_with_its_reason(tmp_path: Path):
    network = network_of(FREE)
    found = bench.attempt(forms["python"], tmp_path, network)  # no weights there
    assert found["outcome"] == "crashed" and "FileNotFoundError" in found["why"]


@pytest.mark.slow
def test_a_branch_that_is_no_valid_graph_is_masked_instead():
    nodes = (Node((Point("table", 1), Point("text", 0)), "mcb"),)
    architecture = replace(bench._space().architecture(nodes), gates=Gates((), ((0, Point("table", 1)),)))
    found = bench.attempts(0, architecture, ["onnx"])["onnx"]
    assert found["outcome"] == "passed" and found["gates"].startswith("masked: ")


@pytest.mark.slow
def test_lengths_that_a_program_only_seems_to_keep_open_are_fixed():
    inputs = (Point("series", 2), Point("image", 0), Point("image", 1), Point("text", 0))
    nodes = (Node(inputs, "concat_steps"), Node((Point("series", 0), Point("text", 0), NodeRef(0)), "tucker"))
    layers = {"series": ("attention",) * 2, "image": ("cnn",), "text": ()}
    found = bench.attempts(0, bench._space().architecture(nodes, layers=layers), ["torch"])["torch"]
    assert found["outcome"] == "passed" and found["lengths"] == []
    assert found["fixed"]["series"].startswith("torch cannot keep the length open: Guard failed")
