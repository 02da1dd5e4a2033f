"""Benchmarks: found by name, tables that read back."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionnas.bench import base, benches
from fusionnas.bench.base import run_bench, write_table
from fusionnas.bench.physionet2012 import SUMMARIES, _plain_row, _row, _table
from fusionnas.data.base import Part
from fusionnas.errors import DataError, InputError, RegistryError
from fusionnas.feature import Feature
from fusionnas.run.progress import Progress, QuietProgress


def test_registry_knows_the_benchmarks() -> None:
    assert {"physionet2012", "planted"} <= set(benches)
    with pytest.raises(RegistryError, match="'planed' is not a benchmark. Did you mean 'planted'?"):
        benches["planed"]


def test_tables_read_back(tmp_path: Path) -> None:
    rows = [{"name": "a, b", "value": "0.5"}, {"name": "c", "value": ""}]
    write_table(tmp_path / "deep" / "t.csv", rows)
    assert (tmp_path / "deep" / "t.csv").read_text() == 'name,value\n"a, b",0.5\nc,\n'
    with (tmp_path / "deep" / "t.csv").open() as file:
        assert list(csv.DictReader(file)) == rows


def test_a_table_that_cannot_be_written_is_told_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path] = []

    def measure(output: Path, *, seed: int, workers: int, progress: Progress) -> list[dict[str, str]]:
        started.append(output)
        return [{"value": "1"}]

    monkeypatch.setattr(base, "benches", {"measured": measure})
    (tmp_path / "file").touch()
    run = partial(run_bench, "measured", words=(), seed=0, workers=1, progress=QuietProgress(stages=False))
    with pytest.raises(InputError, match="it is a folder; give a file, such as .*table.csv"):
        run(output=tmp_path)
    with pytest.raises(InputError, match="choose another file"):
        run(output=tmp_path / "file" / "t.csv")
    assert started == []
    assert run(output=tmp_path / "new" / "t.csv") and started == [tmp_path / "new" / "t.csv"]


def test_rows_of_networks_and_of_other_models_have_one_form() -> None:
    entry = {"test": {"roc_auc": 0.81234, "average_precision": 0.5},
             "spread": {"roc_auc": 0.01, "average_precision": None},
             "difference": 0.02, "interval": [-0.01, 0.05], "parameters": 12, "architecture": "only a.1"}  # fmt: skip
    row = _row("only a", entry, 5, 61.4)
    assert (row["roc_auc"], row["roc_auc_std"], row["average_precision_std"]) == ("0.8123", "0.0100", "")
    assert (row["found_minus_this"], row["interval_low"], row["search_seconds"]) == ("+0.0200", "-0.0100", "61")
    probability, target = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])
    plain = _plain_row("logistic regression", probability, target)
    assert list(plain) == list(row) and plain["roc_auc"] == "1.0000" and plain["found_minus_this"] == ""


def test_models_without_network_see_summaries_and_static_side_by_side() -> None:
    widths = dict(zip(SUMMARIES, (1, 2, 3), strict=True))
    inputs = {name: Feature.vector(torch.full((3, width), float(width))) for name, width in widths.items()}
    names = np.array(["x", "y", "z"])
    table = _table(Part(inputs, torch.zeros(3, dtype=torch.long), names, names))
    assert table.tolist() == [[1.0, 2.0, 2.0, 3.0, 3.0, 3.0]] * 3


def test_without_its_data_the_benchmark_says_where_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FUSIONNAS_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="FUSIONNAS_DATA"):
        benches["physionet2012"](tmp_path / "t.csv", seed=0, workers=1, progress=QuietProgress(stages=False))
    assert not (tmp_path / "t.csv").exists()
