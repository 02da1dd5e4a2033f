"""The benchmark of gates at toy size: rows that can be compared, a plot, and times side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionnas.architecture import Node, Point
from fusionnas.bench import dynamic as bench
from fusionnas.bench.dynamic_plot import write_plot
from fusionnas.network import build
from fusionnas.run.progress import QuietProgress
from tests.spaces import random_inputs, tiny_signature, tiny_space

TOY = """
name: toy
data: {format: npz, train: toy.npz, target: label}
task: {kind: multiclass, metric: accuracy}
modalities:
  slow: {kind: timeseries, encoder: gru, levels: 2, steps: 40}
  fast: {kind: timeseries, encoder: gru, levels: 1, steps: 10}
fusion: {nodes: 1, width: 8, operators: [mlp]}
"""


def test_a_set_has_a_row_per_network_and_all_stand_beside_the_ungated_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "toy.npz", slow=rng.normal(size=(150, 40, 2)), fast=rng.normal(size=(150, 10, 2)),
             label=rng.integers(3, size=150))  # fmt: skip
    (tmp_path / "toy.yaml").write_text(TOY)
    node = Node((Point("slow", 2), Point("fast", 1)), "mlp")
    small = bench.Setting(str(tmp_path / "toy.yaml"), (), (node,), "modality", (0.1, 1.0), "accuracy", (1, 1))
    monkeypatch.setattr(bench, "SETTINGS", {"toy": small})
    monkeypatch.setattr(bench, "SEEDS", 1)
    monkeypatch.setattr(bench, "TURNS", 3)
    rows = bench.dynamic(tmp_path / "dynamic.csv", seed=0, workers=1, progress=QuietProgress())
    assert [row["network"] for row in rows] == ["ungated", "late fusion", "gated", "gated"]
    assert rows[0]["points_lost"] == "+0.00" and rows[0]["saved_64"] == "+0.000"
    assert all(float(row[f"ms_{size}"]) > 0 for row in rows for size in bench.BATCHES)
    assert (tmp_path / "dynamic.csv").read_text().startswith("set,seed,network,cost_weight,metric,score")
    assert "<svg" in (tmp_path / "dynamic.svg").read_text()


def test_the_same_rows_give_the_same_picture(tmp_path: Path):
    rows = [{"set": "s", "network": network, "cost_weight": weight, "metric": "accuracy", "score": "0.9", "ms_1": "2.0"}
            for network, weight in (("ungated", ""), ("late fusion", ""), ("gated", "0.1"))]  # fmt: skip
    write_plot(tmp_path / "a.svg", rows)
    write_plot(tmp_path / "b.svg", rows)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_every_network_is_measured_on_the_same_batches():
    space = tiny_space()
    networks = {str(point): build(space, space.architecture([], output=point), tiny_signature()).eval()
                for point in space.points()[:3]}  # fmt: skip
    seen: dict[str, list[int]] = {name: [] for name in networks}
    for name, network in networks.items():
        network.register_forward_hook(lambda module, given, out, name=name: seen[name].append(len(out)))
    spent = bench.milliseconds(networks, random_inputs(64, 0), 8, samples=24)
    assert set(spent) == set(networks) and all(value > 0 for value in spent.values())
    assert all(sizes == [8] * 21 for sizes in seen.values())
