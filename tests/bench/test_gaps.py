"""The benchmark of discretisation gaps at toy size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionnas.bench import gaps as bench
from fusionnas.errors import InputError
from fusionnas.run.progress import QuietProgress

TOY = """
name: toy
data: {format: npz, train: toy.npz, target: label}
task: {kind: multiclass, metric: accuracy}
modalities:
  a: {kind: vector, encoder: mlp, levels: 0}
  b: {kind: vector, encoder: mlp, levels: 0}
fusion: {nodes: 1, width: 4, operators: [additive]}
training: {epochs: 1}
search: {epochs: 1, rungs: [1], heads: 4, rescore: 1, folds: 1, finalists: 1}
"""


def test_a_space_has_a_row_and_one_without_data_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    label = rng.integers(3, size=120)
    a, b = rng.normal(size=(2, 120, 2))
    np.savez(tmp_path / "toy.npz", a=a + label[:, None], b=b, label=label)
    (tmp_path / "toy.yaml").write_text(TOY)
    (tmp_path / "gone.yaml").write_text(TOY.replace("toy.npz", "gone.npz"))
    spaces = {name: tmp_path / name for name in ("gone.yaml", "toy.yaml")}
    monkeypatch.setattr(bench, "bundled_spaces", lambda: spaces)
    rows = bench.gaps(tmp_path / "gaps.csv", seed=0, workers=1, progress=QuietProgress(stages=False))
    assert [row["space"] for row in rows] == ["toy"]
    between = 100 * (float(rows[0]["supernet"]) - float(rows[0]["found"]))
    assert float(rows[0]["gap"]) == pytest.approx(between, abs=0.03)
    assert (tmp_path / "gaps.csv").read_text().startswith("space,metric,supernet,found,gap,")
    with pytest.raises(InputError, match="'toys'. Did you mean 'toy'"):
        bench.gaps(tmp_path / "gaps.csv", seed=0, workers=1, progress=QuietProgress(), words=["toys"])
