"""A search whose found network is gated: results beside the ungated one, export, evaluation, drawing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fusionnas as fn
from fusionnas.architecture import Gates, Node, NodeRef, Point
from fusionnas.diagnostics.gate_choices import gate_rows, without_each
from fusionnas.diagnostics.subject import Subject, opened
from fusionnas.export.native import read_native
from fusionnas.gates.network import GatedNetwork
from fusionnas.gates.spending import Spending, shares
from fusionnas.run.progress import QuietProgress

SPACE = """
name: gated
data: {format: npz, train: gated.npz, target: label}
task: {kind: binary, target: label, metric: accuracy}
modalities:
  cheap: {kind: vector, encoder: mlp, levels: 1}
  costly: {kind: timeseries, encoder: gru, levels: 1, steps: 12}
fusion: {nodes: 1, width: 8, operators: [multiplicative, mlp], gates: {level: LEVEL, cost_weight: 0.05, epochs: 2}}
training: {epochs: 2, learning_rate: 0.01}
search: {epochs: 2, heads: 8, rungs: [1], rescore: 2, finalists: 1, folds: 1, seeds: 2, random: 0}
"""


def search(folder: Path, level: str) -> fn.SearchRun:
    rng = np.random.default_rng(0)
    signs = rng.integers(0, 2, (240, 2)) * 2 - 1
    cheap = np.stack([signs[:, 0], rng.normal(size=240)], 1) + 0.1 * rng.normal(size=(240, 2))
    costly = signs[:, 1, None, None] + 0.3 * rng.normal(size=(240, 12, 2))
    np.savez(folder / "gated.npz", cheap=cheap, costly=costly, label=(signs.prod(1) > 0).astype(int))
    (folder / "gated.yaml").write_text(SPACE.replace("LEVEL", level))
    return fn.search(folder / "gated.yaml", run_dir=folder / "run", seed=1)


@pytest.fixture(scope="module", params=["modality", pytest.param("node", marks=pytest.mark.slow)])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> fn.SearchRun:
    return search(tmp_path_factory.mktemp("gated"), request.param)


def test_results_stand_beside_those_without_gates(run: fn.SearchRun):
    gates = run.results["gates"]
    assert run.architecture.gates is not None
    assert {k: gates[k] for k in ("stages", "nodes")} == run.architecture.gates.to_json()
    assert 0 < gates["cost_share"] < 1.5 and all(0 <= share <= 1 for share in gates["runs"].values())
    assert set(gates["milliseconds"]) == {"1", "64"}
    assert all(ms > 0 for pair in gates["milliseconds"].values() for ms in pair.values())
    assert "gates:" not in run.results["baselines"]["ungated"]["architecture"]
    assert "ungated" not in run.results["verdict"]


def test_what_was_exported_is_gated_and_the_same(run: fn.SearchRun):
    model = read_native(run.path / "export")
    assert isinstance(model.network, GatedNetwork)
    assert fn.evaluate(run.path / "export") == fn.evaluate(run.path)
    built = fn.build(run.space, run.architecture)
    assert {k: v.shape for k, v in built.state_dict().items()} == {
        k: v.shape for k, v in model.network.state_dict().items()
    }


def test_resuming_a_finished_run_reads_the_same(run: fn.SearchRun):
    assert fn.resume(run.path).results == run.results


def test_importance_takes_the_gates_away_one_at_a_time(run: fn.SearchRun, tmp_path: Path):
    folder = Path(shutil.copytree(run.path, tmp_path / "run"))
    with opened(folder, split="select", workers=1, progress=QuietProgress(stages=False)) as subject:
        (row,) = gate_rows(subject)
        assert row["gate"] in run.results["gates"]["runs"]
        assert row["low"] <= row["found_is_better_by"] <= row["high"]
        assert row["cost_without"] == 1.0 and row["cost"] == subject_cost(subject)


def subject_cost(subject: Subject) -> float:
    assert subject.gated is not None and subject.task.problem.costs is not None
    network = subject.network(subject.gated)
    assert isinstance(network, GatedNetwork)
    spending = Spending.of(subject.gated, subject.task.problem.costs)
    share: float = shares(network, subject.task.data.select.inputs, spending)["cost_share"]
    return share


def test_without_one_of_two_gates_the_other_stays():
    space = fn.SearchSpace.parse(SPACE.replace("LEVEL", "both").replace("nodes: 1", "nodes: 2"))
    nodes = [Node((Point("cheap", 0), Point("costly", 1)), "mlp"), Node((NodeRef(0), Point("cheap", 1)), "mlp")]
    gates = Gates((("cheap",), ("costly",)), ((1, NodeRef(0)),))
    fewer = dict(without_each(replace(space.architecture(nodes), gates=gates)))
    assert fewer["stage_1"].gates == Gates((), gates.nodes)
    assert fewer["node_1"].gates == Gates(gates.stages, ())
