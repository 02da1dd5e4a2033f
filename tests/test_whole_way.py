"""From a folder of arrays to an exported network and back: the whole way at toy size, through the public doors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import fusionnas as fn
from fusionnas.errors import DataError, InputError, RunError

SPACE = """
name: toy
data: {format: npz, train: toy.npz, target: label}
task: {kind: multiclass, target: label, metric: accuracy}
modalities:
  left: {kind: vector, encoder: mlp, levels: 1}
  right: {kind: vector, encoder: mlp, levels: 1}
  noise: {kind: vector, encoder: mlp, levels: 1}
fusion: {nodes: 1, width: 8, inputs: [2, 3], operators: [additive, mlp]}
training: {epochs: 3, learning_rate: 0.01}
search: {epochs: 2, heads: 8, rungs: [1], rescore: 2, finalists: 1, folds: 3, seeds: 2, random: 1}
"""


def write_toy(folder: Path, *, seed: int = 0) -> Path:
    """A three-class set whose label needs ``left`` and ``right``; returns the space file."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, 240)
    sign = rng.integers(0, 2, 240) * 2 - 1
    left = rng.normal(size=(240, 5)) + np.eye(5)[label] * 2 * sign[:, None]
    right = rng.normal(size=(240, 4)) + sign[:, None]
    noise = rng.normal(size=(240, 3))
    np.savez(folder / "toy.npz", left=left, right=right, noise=noise, label=label)
    (folder / "toy.yaml").write_text(SPACE)
    return folder / "toy.yaml"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fn.SearchRun:
    folder = tmp_path_factory.mktemp("toy")
    return fn.search(write_toy(folder), run_dir=folder / "run", seed=4)


def test_run_folder_holds_what_the_design_says(run: fn.SearchRun) -> None:
    names = {path.name for path in run.path.iterdir()}
    assert {"space.yaml", "environment.json", "journal.jsonl", "checkpoints", "architecture.json",
            "weights.safetensors", "results.json", "preprocessing.json", "export"} <= names  # fmt: skip
    assert {p.name for p in (run.path / "export").iterdir()} >= {"architecture.json", "model.pt2", "export.json"}


def test_results_compare_with_every_simple_alternative(run: fn.SearchRun) -> None:
    results = run.results
    assert {"only left", "only right", "only noise", "random 1"} <= set(results["baselines"]) | {results["known_as"]}
    for entry in results["baselines"].values():
        low, high = entry["interval"]
        assert low <= entry["difference"] <= high
        assert set(entry["test"]) == {"accuracy", "balanced_accuracy", "f1_macro", "log_loss"} == set(results["test"])
    assert results["seeds"] == {"run": 4, "networks": 2}
    assert results["verdict"].startswith("The found network reads ")


def test_test_part_was_opened_once(run: fn.SearchRun) -> None:
    events = [json.loads(line).get("event") for line in (run.path / "journal.jsonl").read_text().splitlines()]
    assert events.count("test_opened") == 1


def test_exported_network_gives_the_numbers_that_were_reported(run: fn.SearchRun) -> None:
    first = fn.evaluate(run.path / "export")
    assert first["n"] == 48
    again = fn.evaluate(run.path / "export", data_path=run.path.parent / "toy.npz")
    assert again["n"] == 240
    # results.json has the mean over seeds; the shipped network is the first of them
    assert abs(first["metrics"]["accuracy"] - run.results["test"]["accuracy"]) < 0.2


def test_exports_agree_with_eager(run: fn.SearchRun) -> None:
    report = json.loads((run.path / "export" / "export.json").read_text())
    assert set(report) == {"architecture", "checked", "native", "torch", "python"}
    for name, allowed in {"native": 0.0, "python": 0.0, "torch": 1e-5}.items():
        rows = report[name]["batches"]
        assert set(rows) == {"1", "2", "33"} and all(row["max_difference"] <= allowed for row in rows.values())


def test_results_say_what_a_missing_modality_costs(run: fn.SearchRun) -> None:
    told = run.results["robustness"]
    assert told["trained_for"] == 0.0 and set(told["missing"]) == set(run.results["modalities"])
    accuracy = run.results["test"]["accuracy"]
    assert all(set(row) == set(run.results["test"]) for row in told["missing"].values())
    assert min(row["accuracy"] for row in told["missing"].values()) < accuracy


def test_a_model_card_tells_what_the_network_is_and_how_well_it_did(run: fn.SearchRun) -> None:
    text = (run.path / "export" / "README.md").read_text()
    assert text.startswith(f"# toy: fusion network {run.architecture.id}\n")
    accuracy = f"{run.results['test']['accuracy']:.4f}"
    assert f"| accuracy | {accuracy} |" in text and "| test | 48 |" in text and "## Limits" in text
    assert "Licence of the data: not recorded" in text and "`model.py`" in text and "`model.onnx`" not in text


def test_every_form_can_be_evaluated_and_gives_the_same(run: fn.SearchRun) -> None:
    native = fn.evaluate(run.path / "export")
    for file in ("model.pt2", "model.py", "weights.safetensors"):
        assert fn.evaluate(run.path / "export" / file)["metrics"] == pytest.approx(native["metrics"], rel=1e-5)
    with pytest.raises(RunError, match=r"export.json is no form of a network\n  'export.json': Known: model.aoti.pt2"):
        fn.evaluate(run.path / "export" / "export.json")


def test_torch_program_runs_without_fusionnas(run: fn.SearchRun) -> None:
    program = run.path / "export" / "model.pt2"
    inputs = len(run.architecture.modalities)
    widths = [run.architecture.signature.inputs[name].width for name in run.architecture.modalities]
    code = f"""
import sys, torch
module = torch.export.load({str(program)!r}).module()
tensors = []
for width in {widths}:
    tensors += [torch.randn(7, 1, width), torch.ones(7, 1, dtype=torch.bool), torch.ones(7, dtype=torch.bool)]
print(tuple(module(*tensors).shape), "fusionnas" in sys.modules)
"""
    assert inputs == len(widths)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert out.stdout.strip() == "(7, 3) False"


def test_predictions_are_probabilities_with_ids(run: fn.SearchRun, tmp_path: Path) -> None:
    told = fn.predict(run.path / "export", data_path=run.path.parent / "toy.npz", output=tmp_path / "deep" / "p.csv")
    lines = (tmp_path / "deep" / "p.csv").read_text().splitlines()
    assert told["n"] == 240 == len(lines) - 1
    assert lines[0] == "id,probability_0,probability_1,probability_2,predicted"
    assert sum(map(float, lines[1].split(",")[1:4])) == pytest.approx(1, abs=1e-5)


def test_build_gives_a_plain_network_of_the_found_architecture(run: fn.SearchRun) -> None:
    network = fn.build(run.space, run.architecture)
    assert isinstance(network, torch.nn.Module)
    assert sum(p.numel() for p in network.parameters()) == run.results["cost"]["parameters"]


@pytest.mark.slow
def test_same_seed_same_bits_with_one_and_with_two_workers(run: fn.SearchRun, tmp_path: Path) -> None:
    space = write_toy(tmp_path)
    code = f"""
from pathlib import Path
import fusionnas as fn
if __name__ == "__main__":
    fn.search({str(space)!r}, run_dir=Path({str(tmp_path / "run")!r}), seed=4, workers=2)
"""
    (tmp_path / "script.py").write_text(code)
    subprocess.run([sys.executable, str(tmp_path / "script.py")], check=True, capture_output=True)
    for name in ("architecture.json", "weights.safetensors", "preprocessing.json"):
        assert (run.path / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
    other = json.loads((tmp_path / "run" / "results.json").read_text())
    ignored = {"seconds": None, "data": None, "cost": None}  # milliseconds are measured
    assert {**other, **ignored} == {**json.loads((run.path / "results.json").read_text()), **ignored}


def test_a_finished_run_is_read_not_run_again(run: fn.SearchRun) -> None:
    before = (run.path / "journal.jsonl").read_bytes()
    again = fn.resume(run.path)
    assert again.architecture == run.architecture and again.results == run.results
    assert (run.path / "journal.jsonl").read_bytes() == before


def test_using_an_export_imports_no_search(run: fn.SearchRun) -> None:
    code = f"""
import sys
from pathlib import Path
import fusionnas as fn
fn.evaluate(Path({str(run.path / "export")!r}))
print([name for name in sys.modules if name.startswith(("fusionnas.search", "fusionnas.supernet", "ray", "optuna"))])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_changed_data_stop_a_resume(tmp_path: Path) -> None:
    from fusionnas.run import Run

    space = fn.SearchSpace.load(write_toy(tmp_path))
    settings = {"data": None, "data_path": None, "seed": 0, "folder": str(tmp_path)}
    with Run.create(tmp_path / "run", space=space, settings=settings) as begun:
        begun.record("data", hash={"train": "of other data"})
    with pytest.raises(RunError, match="the data is not what it was when the run began"):
        fn.resume(tmp_path / "run")


def test_unusable_folders_and_forms_are_told(run: fn.SearchRun, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a folder; give a run folder or an export"):
        fn.evaluate(tmp_path / "nothing")
    with pytest.raises(RunError, match=r"holds no trained network.*\n  architecture.json: missing"):
        fn.evaluate(tmp_path)
    with pytest.raises(InputError, match=r"unknown export format\n  'onyx': .*Known: all, aoti, native, onnx, python"):
        fn.export(run.path, formats=["onyx"], output=tmp_path / "e")
    with pytest.raises(InputError, match="split: given 'train', expected 'test' or 'development'"):
        fn.evaluate(run.path, split="train")


def test_an_output_that_cannot_be_written_is_told(run: fn.SearchRun, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*: Is a directory; choose an --output that can be written"):
        fn.predict(run.path, output=tmp_path)
    with pytest.raises(InputError, match=r"cannot write .*p.csv: (Not a directory|File exists); choose"):
        fn.predict(run.path, output=tmp_path / "file" / "p.csv")
    with pytest.raises(InputError, match=r"cannot write .*file: File exists; choose an --output"):
        fn.export(run.path, output=tmp_path / "file")


def test_damaged_weights_are_refused(run: fn.SearchRun, tmp_path: Path) -> None:
    fn.export(run.path, formats=["native"], output=tmp_path / "e")
    (tmp_path / "e" / "weights.safetensors").write_bytes(b"not tensors")
    with pytest.raises(RunError, match="is damaged or its files do not belong together"):
        fn.evaluate(tmp_path / "e")


def test_labels_are_needed_to_evaluate_not_to_predict(run: fn.SearchRun, tmp_path: Path) -> None:
    arrays = dict(np.load(run.path.parent / "toy.npz"))
    del arrays["label"]
    np.savez(tmp_path / "new.npz", **arrays)
    assert fn.predict(run.path, data_path=tmp_path / "new.npz", output=tmp_path / "p.csv")["n"] == 240
    with pytest.raises(DataError, match="has no labels to compare with"):
        fn.evaluate(run.path, data_path=tmp_path / "new.npz")
