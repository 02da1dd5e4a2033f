"""Whole-model families: every bundled space of one pretrains, trains and predicts at toy size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fusionnas.alignment import alignment_map, sequences
from fusionnas.architecture import Architecture, Node, Point
from fusionnas.data.base import SearchData
from fusionnas.data.load import load_dataset
from fusionnas.errors import InputError
from fusionnas.pretraining.stage import pretrain_unlabelled, split_weights
from fusionnas.run.unit import Checkpoint
from fusionnas.search.method import Problem
from fusionnas.search.retrain import Job, train_job
from fusionnas.space import SearchSpace

PINNED = {
    "vilt": ("joint_transformer", ("picture", "question")),
    "vlc": ("joint_transformer", ("picture", "question")),
    "albef": ("cross_attention", ("question", "picture")),
    "highmmt": ("shared_perceiver", ("static", "vitals", "labs")),
}


def toy(name: str) -> tuple[SearchSpace, SearchData]:
    """The space with one epoch of everything, and a few samples."""
    settings = {"training.epochs": 1, "training.batch_size": 16, "fusion.width": 8}
    if name in ("vilt", "vlc", "albef"):
        settings["pretrain.epochs"] = 1
    space = SearchSpace.load(name, overrides=[f"{key}={value}" for key, value in settings.items()])
    data = load_dataset(space).search
    few = torch.arange(48)
    return space, SearchData(data.train.rows(few), data.alpha.rows(few[:16]), data.select.rows(few), data.signature)


def ignore(facts: Any) -> None:
    pass


def trained(space: SearchSpace, data: SearchData, architecture: Architecture, folder: Path) -> dict[str, torch.Tensor]:
    weights = {}
    if space.file.pretrain is not None:
        stage = pretrain_unlabelled(space, data, seed=0, checkpoint=Checkpoint(folder / "stage", 99), watch=ignore)
        weights = split_weights(stage.tensors)
    problem = Problem(space, data, 0, weights)
    return train_job(problem, Job(architecture, 0), Checkpoint(folder / "job", 99)).tensors


@pytest.mark.parametrize("name", PINNED)
def test_a_family_trains_at_toy_size(name: str, tmp_path: Path) -> None:
    space, data = toy(name)
    operator, modalities = PINNED[name]
    assert space.file.fusion.operators == (operator,)
    points = tuple(Point(m, space.file.modalities[m].levels) for m in modalities)
    layers = {m: (space.file.modalities[m].encoder[0],) * space.file.modalities[m].levels for m in modalities}
    architecture = space.architecture([Node(points, operator)], layers=layers)
    assert space.contains(architecture)
    found = trained(space, data, architecture, tmp_path)
    assert found["held_out"].shape == (48, 1) and found["held_out"].isfinite().all()


def test_the_architecture_that_mufasa_found_is_bundled_and_trains(tmp_path: Path) -> None:
    space, data = toy("mufasa")
    (file,) = space.file.search.architectures
    architecture = Architecture.from_json(json.loads(Path(file).read_text()))
    assert space.contains(architecture)
    assert str(architecture) == (
        "#0 = aligned_block(notes.1, categorical.1); #1 = additive(context.1, continuous.1, categorical.1, #0)"
    )
    assert trained(space, data, architecture, tmp_path)["held_out"].isfinite().all()


def test_an_alignment_map_deals_every_word_to_patches(tmp_path: Path) -> None:
    space, data = toy("vilt")
    node = Node((Point("picture", 0), Point("question", 0)), "joint_transformer")
    problem = Problem(space, data, 0)
    from fusionnas.network import build

    torch.manual_seed(0)
    network = build(space, space.architecture([node]), problem.data.signature)
    assert sequences(network) == ["picture", "question"]
    inputs = data.select.inputs
    plan = alignment_map(network, inputs, "question", "picture")
    words = inputs["question"].mask
    assert plan.shape == (48, words.shape[1], 16)
    assert torch.allclose(plan.sum(2), words / words.sum(1, keepdim=True), atol=1e-5)
    assert torch.allclose(plan.sum(1), torch.full((48, 16), 1 / 16), atol=1e-5)
    assert torch.equal(plan, alignment_map(network, inputs, "question", "picture"))
    with pytest.raises(InputError, match="between two modalities that the network reads as sequences") as told:
        alignment_map(network, inputs, "question", "pictures")
    assert "did you mean 'picture'?" in told.value.problems[0].lower()
