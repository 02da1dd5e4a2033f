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
    assert (tmp_path / "dynamic.csv").read_text().startswith("set,seed,network,cost_weight,chosen,metric,select")
    assert [row["chosen"] for row in rows].count("*") == 1 and not rows[0]["chosen"]
    assert "<svg" in (tmp_path / "dynamic.svg").read_text()


def row(weight: str, lost: float, cost: float, score: str = "0.5") -> dict[str, str]:
    return {"set": "s", "network": "gated", "cost_weight": weight, "chosen": "", "select_lost": f"{lost:+.2f}",
            "select_cost": f"{cost:.3f}", "score": score}  # fmt: skip


def test_the_weight_is_chosen_on_select_by_means_over_seeds():
    first = [row("0.1", 0.0, 0.8, "0.1"), row("0.2", 0.5, 0.5, "0.2"), row("0.3", 0.4, 0.2, "0.9")]
    second = [row("0.1", 0.1, 0.9, "0.1"), row("0.2", -0.1, 0.6, "0.2"), row("0.3", 0.5, 0.1, "0.9")]
    bench.choose(rows := first + second)
    assert [one["cost_weight"] for one in rows if one["chosen"]] == ["0.2", "0.2"]
    bench.choose(rows := [row("0.1", 2.0, 0.8), row("0.2", 1.0, 0.9)])  # all lose too much
    assert [one["chosen"] for one in rows] == ["", "*"]
    bench.choose(rows := [row("0.1", -2.0, 0.8), row("0.2", -1.0, 0.4)])  # the ungated network was a poor draw
    assert [one["chosen"] for one in rows] == ["*", ""]


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
