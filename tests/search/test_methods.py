"""Every registered search method obeys the protocol; a new one gets these tests by being registered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fusionnas.data.base import SearchData
from fusionnas.run import Run
from fusionnas.run.progress import QuietProgress
from fusionnas.search.method import Found, Problem, Task, methods
from fusionnas.space import SearchSpace
from tests.spaces import TEXT, random_part, tiny_data, tiny_signature, tiny_space

DATA = tiny_data()


def search(name: str, path: Path, space: SearchSpace, *, seed: int = 3) -> tuple[Found, int]:
    """What the method finds, and how many lines its run's journal has."""
    with Run.create(path, space=space, settings={}) as run:
        found = methods[name](Task(Problem(space, DATA, seed), run, QuietProgress(stages=False)))
        return found, len((path / "journal.jsonl").read_text().splitlines())


@pytest.mark.parametrize("name", list(methods))
def test_finalists_and_layers_are_valid(name: str, tmp_path: Path) -> None:
    space = tiny_space()
    found, _ = search(name, tmp_path / "run", space)
    assert found.finalists
    assert all(space.problems(a) == [] or len(a.nodes) == 1 for a in found.finalists)  # or a reference
    assert {n: len(chosen) for n, chosen in found.layers.items()} == {"a": 1, "b": 2, "c": 1}
    assert len(found.facts["history"]) == space.file.search.epochs


@pytest.mark.parametrize("name", list(methods))
def test_same_seed_same_find(name: str, tmp_path: Path) -> None:
    space = tiny_space(nodes=3, inputs="2")
    first, _ = search(name, tmp_path / "a", space)
    again, _ = search(name, tmp_path / "b", space)
    assert first == again


@pytest.mark.parametrize("name", list(methods))
def test_finished_steps_are_remembered(name: str, tmp_path: Path) -> None:
    space = tiny_space()
    found, lines = search(name, tmp_path / "run", space)
    with Run.open(tmp_path / "run") as run:
        again = methods[name](Task(Problem(space, DATA, 3), run, QuietProgress(stages=False)))
    assert again == found
    assert len((tmp_path / "run" / "journal.jsonl").read_text().splitlines()) == lines


@pytest.mark.parametrize("name", list(methods))
def test_a_space_of_one_modality_and_one_node_will_do(name: str, tmp_path: Path) -> None:
    space = SearchSpace.parse(
        "{name: one, task: {kind: binary}, modalities: {a: {kind: vector, encoder: mlp, levels: 1}}, "
        "fusion: {nodes: 1, width: 8, operators: [additive]}, search: {epochs: 1, rungs: [1], heads: 4}}"
    )
    found, _ = search(name, tmp_path / "run", space)
    assert set(found.layers) == {"a"} and found.finalists[0].modalities == ("a",)


def test_what_a_method_receives_has_no_test_part() -> None:
    assert set(SearchData.__dataclass_fields__) == {"train", "alpha", "select", "signature"}
    assert set(Problem.__dataclass_fields__) == {"space", "data", "seed", "pretrained", "costs"}


@pytest.mark.parametrize("name", list(methods))
def test_several_classes_and_no_searched_layer_will_do(name: str, tmp_path: Path) -> None:
    text = TEXT.format(nodes=1, inputs="2", operators="additive, mlp").replace("[gru, tcn]", "gru")
    space = SearchSpace.parse(text.replace("kind: binary", "kind: multiclass").replace("roc_auc", "accuracy"))
    parts = {part: random_part(60, seed) for seed, part in enumerate(("train", "alpha", "select"))}
    for part in parts.values():
        part.target[::3] = 2
    data = SearchData(**parts, signature=replace(tiny_signature(), outputs=3))
    with Run.create(tmp_path / "run", space=space, settings={}) as run:
        found = methods[name](Task(Problem(space, data, 3), run, QuietProgress(stages=False)))
    assert found.layers == {"a": ("mlp",), "b": ("gru", "gru"), "c": ("summary",)}
    assert found.finalists and all(entry["loss"] > 0 for entry in found.facts["history"])
