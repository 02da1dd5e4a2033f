"""What the public doors promise about data, numbers, repetition and kills."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import fusionnas as fn
from fusionnas.data.base import Cohort, datasets
from fusionnas.data.load import load_development
from fusionnas.data.raw import Table
from fusionnas.data.records import Records
from fusionnas.errors import RunError
from fusionnas.training.scoring import scores

SPACE = """
name: pair
data: {format: npz, train: pair.npz, target: died, id: name}
task: {kind: binary, metric: roc_auc}
modalities:
  x: {kind: vector, encoder: mlp, levels: 1}
  y: {kind: vector, encoder: mlp, levels: 1}
  hint: {kind: vector, encoder: mlp, levels: 1}
fusion: {nodes: 1, width: 8, inputs: 2, operators: [additive, multiplicative, mlp]}
training: {epochs: 3, learning_rate: 0.01}
search: {epochs: 2, heads: 8, rungs: [1], rescore: 2, finalists: 1, folds: 2, seeds: 2, random: 1}
"""


def arrays(count: int = 300, seed: int = 0) -> dict[str, np.ndarray]:
    """The label is the product of two signs, one in ``x``, one in ``y``; ``hint`` is right in 70 % of the samples."""
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (count, 2)) * 2 - 1
    died = (signs[:, 0] * signs[:, 1] > 0).astype(np.int64)
    hint = np.where(rng.random(count) < 0.7, died, 1 - died) * 2 - 1
    found = {name: rng.normal(size=(count, 3)).astype(np.float32) for name in ("x", "y", "hint")}
    for name, sign in (("x", signs[:, 0]), ("y", signs[:, 1]), ("hint", hint)):
        found[name][:, 0] = sign + 0.1 * found[name][:, 0]
    return {**found, "died": died, "name": np.array([f"s{seed}-{i}" for i in range(count)])}


def write(folder: Path, *, seed: int = 0) -> Path:
    """Data and space file; returns the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "pair.npz", **arrays(seed=seed))
    (folder / "pair.yaml").write_text(SPACE)
    return folder / "pair.yaml"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fn.SearchRun:
    """A run over other data than its space names."""
    folder = tmp_path_factory.mktemp("pair")
    space = write(folder)
    write(folder / "other", seed=1)
    return fn.search(space, data=folder / "other" / "pair.npz", run_dir=folder / "run", seed=2)


def outcome(path: Path) -> list[object]:
    """All that a run found, without what is measured (time) and where its data lie."""
    files = [(path / name).read_bytes() for name in ("architecture.json", "weights.safetensors", "preprocessing.json")]
    results = json.loads((path / "results.json").read_text())
    return [*files, {key: value for key, value in results.items() if key not in ("seconds", "cost", "data")}]


def test_shipped_network_scores_on_test_what_the_run_measured(run: fn.SearchRun) -> None:
    stored = load_file(run.path / "checkpoints" / "test.safetensors")
    first = scores(stored["logits.found"][0], stored["target"])
    assert fn.evaluate(run.path)["metrics"] == pytest.approx(first, rel=1e-6)
    assert fn.evaluate(run.path / "export") == fn.evaluate(run.path)
    each = [scores(logits, stored["target"]) for logits in stored["logits.found"]]
    means = {name: sum(s[name] for s in each) / 2 for name in first}
    assert run.results["test"] == pytest.approx(means, rel=1e-9)


def test_data_given_to_the_search_are_the_run_s_own_ever_after(run: fn.SearchRun) -> None:
    data = run.path.parent / "other" / "pair.npz"
    stored = fn.SearchSpace.load(run.path / "space.yaml").file.data
    assert (stored.train, stored.target, stored.id) == (str(data), "died", "name")
    assert fn.evaluate(run.path)["data"] == str(data) and fn.evaluate(run.path)["n"] == 60
    assert fn.resume(run.path).results == run.results


def test_every_later_look_at_the_test_part_is_recorded(run: fn.SearchRun) -> None:
    def openings() -> list[dict]:
        lines = map(json.loads, (run.path / "journal.jsonl").read_text().splitlines())
        return [line["facts"] for line in lines if line.get("event") == "test_opened"]

    before = openings()
    assert before[0]["samples"] == 60 and "by" not in before[0]
    fn.evaluate(run.path)
    assert openings()[len(before) :] == [{"by": "evaluate", "samples": 60}]
    fn.evaluate(run.path, split="development")
    fn.evaluate(run.path, data_path=run.path.parent / "pair.npz")
    assert len(openings()) == len(before) + 1


def test_development_holds_no_sample_of_the_test_part(run: fn.SearchRun, tmp_path: Path) -> None:
    assert fn.evaluate(run.path, split="development")["n"] == 240
    fn.predict(run.path, output=tmp_path / "test.csv")
    with (tmp_path / "test.csv").open() as file:
        tested = {row["id"] for row in csv.DictReader(file)}
    developed = set(load_development(run.space).ids.tolist())
    assert len(tested) == 60 and len(developed) == 240
    assert tested | developed == set(arrays(seed=1)["name"].tolist())


def test_predictions_of_the_test_part_give_the_accuracy_that_evaluate_gives(run: fn.SearchRun, tmp_path: Path) -> None:
    fn.predict(run.path / "export", output=tmp_path / "p.csv")
    truth = dict(zip(arrays(seed=1)["name"].tolist(), arrays(seed=1)["died"].tolist(), strict=True))
    with (tmp_path / "p.csv").open() as file:
        rows = list(csv.DictReader(file))
    right = sum(int(row["predicted"]) == truth[row["id"]] for row in rows)
    assert right / len(rows) == pytest.approx(fn.evaluate(run.path / "export")["metrics"]["accuracy"])


def test_a_registered_set_is_found_again_in_the_folder_it_was_read_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(space: fn.SearchSpace, *, path: Path | None) -> Cohort:
        data = np.load((path or tmp_path / "usual") / "pair.npz")
        tables = {name: Table.vectors(data[name]) for name in ("x", "y", "hint")}
        records = Records(tables, data["died"], data["name"], classes=("no", "yes"))
        return Cohort(records, None, {}, {"source": "pairs", "target": "died"}, {})

    assert "simulated_icu" in datasets
    monkeypatch.setitem(datasets._entries, "pairs", load)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine", seed=3)
    found = fn.search(tmp_path / "mine" / "pair.yaml", data="pairs", data_path=Path("mine"), run_dir=tmp_path / "run")
    monkeypatch.chdir("/")
    stored = fn.SearchSpace.load(found.path / "space.yaml").file
    assert stored.data == "pairs" and stored.task.target == "died"
    logits = load_file(found.path / "checkpoints" / "test.safetensors")
    metrics = fn.evaluate(found.path)["metrics"]
    assert metrics == pytest.approx(scores(logits["logits.found"][0], logits["target"]), rel=1e-6)
    assert fn.evaluate(found.path, split="development")["n"] == 240
    assert fn.resume(found.path).results == found.results


def test_same_seed_same_run_whatever_was_drawn_before(run: fn.SearchRun, tmp_path: Path) -> None:
    torch.manual_seed(99)
    torch.rand(5)
    again = fn.search(write(tmp_path, seed=1), run_dir=tmp_path / "run", seed=2)
    assert outcome(again.path) == outcome(run.path)


KILLER = """
import os, signal, sys
from pathlib import Path
import fusionnas as fn

class Killer:
    left = int(sys.argv[3])
    def stage(self, name, total): self.advance({})
    def message(self, text): pass
    def advance(self, facts):
        Killer.left -= 1
        if Killer.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

space, path = Path(sys.argv[1]), Path(sys.argv[2])
if (path / "journal.jsonl").exists():
    fn.resume(path, progress=Killer())
else:
    fn.search(space, run_dir=path, seed=2, progress=Killer())
"""


@pytest.mark.slow
def test_a_search_killed_again_and_again_ends_as_if_undisturbed(run: fn.SearchRun, tmp_path: Path) -> None:
    space, path = write(tmp_path, seed=1), tmp_path / "run"
    for steps in (6, 15, 0):
        command = [sys.executable, "-c", KILLER, str(space), str(path), str(steps)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == (-9 if steps else 0), done.stderr
    assert outcome(path) == outcome(run.path)
    assert (path / "journal.jsonl").read_text().count('"test_opened"') == 1


def test_space_of_one_modality_ends_with_plain_words(tmp_path: Path) -> None:
    write(tmp_path)
    short = SPACE.replace("  y: {kind: vector, encoder: mlp, levels: 1}\n", "").replace("random: 1", "random: 0")
    (tmp_path / "one.yaml").write_text(short.replace("  hint: {kind: vector, encoder: mlp, levels: 1}\n", ""))
    found = fn.search(tmp_path / "one.yaml", run_dir=tmp_path / "run")
    assert found.architecture.modalities == ("x",)
    assert found.results["verdict"].startswith("The found network reads x")


def wrong_weights(path: Path) -> None:
    save_file({"a": torch.zeros(1)}, path / "weights.safetensors")


def wrong_sizes(path: Path) -> None:
    data = json.loads((path / "architecture.json").read_text())
    data["signature"]["outputs"] = 5
    (path / "architecture.json").write_text(json.dumps(data))


def no_sizes(path: Path) -> None:
    data = json.loads((path / "architecture.json").read_text())
    del data["signature"]
    (path / "architecture.json").write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda p: (p / "preprocessing.json").unlink(), r"holds no trained network\n  preprocessing.json: missing"),
        (lambda p: (p / "weights.safetensors").write_bytes(b""), "is damaged or its files do not belong together"),
        (wrong_weights, "is damaged or its files do not belong together"),
        (wrong_sizes, "is damaged or its files do not belong together"),
        (no_sizes, "does not say how large its inputs are"),
        (lambda p: (p / "architecture.json").write_text("[]"), "the architecture is not valid"),
        (lambda p: (p / "architecture.json").write_text('{"schema": 7}'), "given 7, this version of fusionnas reads 1"),
        (lambda p: (p / "architecture.json").write_bytes(b"\xff"), "architecture.json is not valid JSON"),
        (lambda p: (p / "preprocessing.json").write_text("{}"), "is damaged or its files do not belong together"),
        (lambda p: (p / "preprocessing.json").write_text("[]"), "is damaged or its files do not belong together"),
        (lambda p: (p / "space.yaml").write_text("name: ["), "is not a valid search space"),
    ],
)
def test_a_damaged_export_is_refused_with_the_reason(run: fn.SearchRun, tmp_path: Path, damage, text: str) -> None:
    shutil.copytree(run.path / "export", tmp_path / "export")
    damage(tmp_path / "export")
    with pytest.raises(RunError, match=text):
        fn.evaluate(tmp_path / "export")


def test_a_file_of_a_run_that_was_changed_is_not_used(run: fn.SearchRun, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    state = load_file(tmp_path / "run" / "weights.safetensors")
    save_file({name: value + 1 for name, value in state.items()}, tmp_path / "run" / "weights.safetensors")
    with pytest.raises(RunError, match=r"weights.safetensors is missing or was changed since; `fusionnas resume"):
        fn.evaluate(tmp_path / "run")
    fn.resume(tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(run.path)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["default"])
def test_modalities_that_decide_together_are_found_beside_a_shortcut(method: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "pair.npz", **arrays(1500))
    (tmp_path / "pair.yaml").write_text(SPACE)
    space = fn.SearchSpace.load(
        tmp_path / "pair.yaml",
        [f"search.method={method}", "training.epochs=20", "search.epochs=8", "search.heads=60", "search.rungs=[2,2]"],
    )
    found = fn.search(space, run_dir=tmp_path / "run")
    assert {"x", "y"} <= set(found.results["modalities"])
    assert next(iter(found.results["interaction"])) == "x x y"
    assert found.results["test"]["accuracy"] > 0.95
    assert "better than the best single modality (hint)" in found.results["verdict"]
