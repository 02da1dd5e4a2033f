"""Encoders that are not trained jointly: trained alone first, or read from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fusionnas.errors import InputError
from fusionnas.network import build
from fusionnas.run import Run
from fusionnas.run.progress import QuietProgress
from fusionnas.search.method import Problem, Task
from fusionnas.search.pretrain import load_pretrained, pretrain
from fusionnas.search.references import late
from fusionnas.search.retrain import Job, retrain
from fusionnas.space import SearchSpace
from fusionnas.training.recipe import Recipe
from tests.spaces import TEXT, tiny_data, tiny_signature

DATA = tiny_data()


def space_with(options: str, folder: Path) -> SearchSpace:
    """The tiny space, its modality ``a`` with more options."""
    text = TEXT.format(nodes=1, inputs="2", operators="additive, mlp")
    text = text.replace("a: {kind: vector, ", f"a: {{kind: vector, {options}, ").replace("[gru, tcn]", "gru")
    return SearchSpace.parse(text, folder=folder)


def pretrained(space: SearchSpace, folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    with Run.create(folder, space=space, settings={}) as run:
        return pretrain(space, DATA, seed=1, run=run, progress=QuietProgress(stages=False))


def test_an_encoder_with_a_policy_is_trained_alone_and_stays_where_it_is_frozen(tmp_path: Path) -> None:
    space = space_with("policy: frozen", tmp_path)
    assert Recipe.of(space).policies == {"a": "frozen", "b": "joint", "c": "joint"}
    found = pretrained(space, tmp_path / "run")
    assert list(found) == ["a"]
    layers = {"a": ("mlp",), "b": ("gru", "gru"), "c": ("summary",)}
    with Run.create(tmp_path / "next", space=space, settings={}) as run:
        task = Task(Problem(space, DATA, 1, found), run, QuietProgress(stages=False))
        trained = retrain(task, [Job(late(space, layers), 0), Job(late(space, layers), 0, 2)])
    for one in trained:
        for key, value in found["a"].items():
            assert torch.equal(one.state[f"encoders.a.{key}"], value)


def test_finetuned_encoders_start_from_the_file_and_move(tmp_path: Path) -> None:
    space = space_with("policy: finetune, weights: a.safetensors", tmp_path)
    torch.manual_seed(0)
    encoder = build(space, space.architecture([], output=space.points()[1]), tiny_signature()).encoders["a"]
    save_file({**encoder.state_dict(), "more": torch.zeros(1)}, tmp_path / "a.safetensors")
    found = pretrained(space, tmp_path / "run")
    assert all(torch.equal(found["a"][key], value) for key, value in encoder.state_dict().items())
    assert "more" not in found["a"]
    shallow = build(space, space.architecture([], output=space.points()[0]), tiny_signature())
    load_pretrained(shallow, found)
    state = shallow.encoders["a"].state_dict()
    assert all(torch.equal(value, found["a"][key]) for key, value in state.items()) and len(state) < len(found["a"])


def test_a_missing_or_foreign_file_is_told(tmp_path: Path) -> None:
    space = space_with("policy: frozen, weights: a.safetensors", tmp_path)
    with pytest.raises(InputError, match=r"modalities.a.weights: cannot read .*a.safetensors as safetensors"):
        pretrained(space, tmp_path / "missing")
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"modalities.a.weights: cannot read .*a.safetensors as safetensors"):
        pretrained(space, tmp_path / "damaged")


def test_weights_of_another_form_are_told_all_at_once(tmp_path: Path) -> None:
    space = space_with("policy: frozen, weights: a.safetensors", tmp_path)
    torch.manual_seed(0)
    state = build(space, space.architecture([], output=space.points()[1]), tiny_signature()).encoders["a"].state_dict()
    first, second = list(state)[:2]
    save_file({**{k: v for k, v in state.items() if k != first}, second: torch.zeros(3)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="does not fit the encoder of a") as error:
        pretrained(space, tmp_path / "run")
    shape = tuple(state[second].shape)
    assert error.value.problems == (f"{first}: missing", f"{second}: given (3,), expected {shape}")
