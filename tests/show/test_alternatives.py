"""Runner-up choices: where they come from, and how the drawings show them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fusionnas.architecture import Architecture, Gates, Node, NodeRef, Point
from fusionnas.show import Alternatives, read_alternatives, terminal_lines
from fusionnas.show.alternatives import NONE
from fusionnas.show.picture import in_words, picture

FOUND = Architecture(
    (("a", ("mlp",)), ("b", ("mlp",))), (Node((Point("a", 1), Point("b", 1)), "gated"),), NodeRef(0)
)
SPACE = """
name: toy
data: {format: npz, train: toy.npz, target: label}
task: {kind: binary}
modalities:
  a: {kind: vector, encoder: mlp, levels: 1}
  b: {kind: vector, encoder: mlp, levels: 1}
  c: {kind: vector, encoder: mlp, levels: 2}
"""


def folder(path: Path, *candidates: str, **search: object) -> Path:
    rows = [{"architecture": text, "loss": float(place)} for place, text in enumerate(candidates)]
    (path / "space.yaml").write_text(SPACE)
    gates = {"runs": {"node_0": 0.25}}
    (path / "results.json").write_text(json.dumps({"finalists": rows, "search": search, "gates": gates}))
    return path


def test_the_best_candidate_that_differs_in_one_choice_is_the_runner_up(tmp_path: Path) -> None:
    found = read_alternatives(folder(
        tmp_path, "gated(a.1, b.1)", "mlp(a.0, b.1)", "mlp(a.1, b.1)", "additive(a.1, b.1)", "gated(a.1, b.0)",
        "only a.1", "#0 = gated(a.1, b.1); #1 = mlp(c.0, #0)"), FOUND)  # fmt: skip
    assert found.operators == {0: "mlp"} and found.inputs == {(0, "b.1"): "b.0"}
    assert found.source == "best candidates of the search that differ in this choice alone"
    assert found.unread == {"c": ("mlp", "mlp")} and found.gates == {"node_0": 0.25}


def test_alphas_are_asked_where_no_candidate_says(tmp_path: Path) -> None:
    search = {"alphas": [{"gamma.0": [[0.5, 0.3, 0.2]]}], "choices": {"gamma.0": ["gated", "mlp", "additive"]}}
    found = read_alternatives(folder(tmp_path, "only a.1", **search), FOUND)
    assert found.operators == {0: "mlp"} and found.source == "second largest alphas"


def test_what_was_measured_counts_most(tmp_path: Path) -> None:
    (tmp_path / "diagnostics").mkdir()
    rows = [{"place": "operator", "node": 0, "input": None, "instead": "tensor"},
            {"place": "input", "node": 0, "input": "a.1", "instead": "nothing"},
            {"place": "layer", "node": None, "input": None, "instead": "cnn"}]  # fmt: skip
    (tmp_path / "diagnostics" / "importance.json").write_text(json.dumps({"tables": {"runners_up": rows}}))
    found = read_alternatives(folder(tmp_path, "mlp(a.1, b.1)"), FOUND)
    assert found.operators == {0: "tensor"} and found.inputs == {(0, "a.1"): "nothing"}
    assert found.source == "trained in its place by fusionnas diagnose"


def test_files_and_exports_know_none(tmp_path: Path) -> None:
    assert read_alternatives(tmp_path, FOUND) == NONE


OTHER = Alternatives({0: "mlp"}, {(0, "b.1"): "b.0"}, {"noise": ("mlp",)}, "second largest alphas")


def test_the_terminal_shows_them_dimmed() -> None:
    lines = terminal_lines(FOUND, OTHER)
    text = [line.plain for line in lines]
    assert any("#0 gated (or mlp) " in line for line in text)
    assert text[-3:] == ["noise  0 ─mlp─ 1  not read", "in #0, b.0 instead of b.1", "runner-ups: second largest alphas"]
    assert all(line.style == "dim" for line in lines[-3:])
    assert terminal_lines(FOUND) == terminal_lines(FOUND, NONE)


def test_the_picture_shows_them_and_tells_them() -> None:
    gated = replace(FOUND, gates=Gates((("a",), ("b",)), ((0, Point("a", 1)),)))
    assert "gate stage_1 goes on for 37%" in picture(gated, "svg", Alternatives(gates={"stage_1": 0.37})).decode()
    svg = picture(FOUND, "svg", OTHER).decode()
    assert in_words(FOUND, OTHER).endswith(
        "noise is not read; runner-up of #0: mlp; runner-up of b.1 in #0: b.0")  # fmt: skip
    assert "noise is not read" in svg and len(svg) > len(picture(FOUND, "svg"))
    assert picture(FOUND, "svg", OTHER) == picture(FOUND, "svg", OTHER)


@pytest.mark.parametrize("form", ["svg", "png"])
def test_a_run_is_drawn_with_them(toy_run: Path, tmp_path: Path, form: str) -> None:
    from fusionnas.show import read_architecture, write_picture

    copy = Path(shutil.copytree(toy_run, tmp_path / "run"))
    architecture = read_architecture(copy)
    found = read_alternatives(copy, architecture)
    assert set(found.unread) == {"left", "right", "noise"} - set(architecture.modalities) and found.source
    write_picture(architecture, tmp_path / f"net.{form}", found)
    assert (tmp_path / f"net.{form}").stat().st_size > 5000
