"""The sweep over forms: what passes, what is left out, and that a crash is counted, not hidden."""

from __future__ import annotations

from pathlib import Path

import pytest

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
