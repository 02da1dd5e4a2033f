"""A trained network adapts to data of another kind of patient; only what was asked for changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import fusionnas as fn
from fusionnas.architecture import Node, Point
from fusionnas.data.load import load_dataset
from fusionnas.errors import InputError
from fusionnas.export.native import read_native, write_native
from fusionnas.network import build
from fusionnas.training.recipe import Recipe
from fusionnas.training.train import Schedule, train

LONGER = ["training.epochs=40", "training.patience=40", "training.adapt.rank=2"]
SPACE = """
name: signs
data: {format: npz, train: old.npz, target: label}
task: {kind: binary, target: label}
modalities:
  left: {kind: vector, encoder: mlp, levels: 1}
  right: {kind: vector, encoder: mlp, levels: 1}
fusion: {nodes: 1, width: 16, operators: [additive]}
training: {epochs: 8, learning_rate: 0.01, refit: false}
"""


def write(path: Path, sign: float, seed: int) -> None:
    left, right = np.random.default_rng(seed).standard_normal((2, 600, 6)).astype(np.float32)
    np.savez(path, left=left, right=right, label=(left[:, 0] + sign * right[:, 0] > 0).astype(int))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A network that has learned where both signs are the same; beside it, data where one has turned."""
    folder = tmp_path_factory.mktemp("adapt")
    write(folder / "old.npz", 1.0, 0)
    write(folder / "new.npz", -1.0, 1)
    space = fn.SearchSpace.parse(SPACE, folder=folder)
    data = load_dataset(space)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        node = Node((Point("left", 1), Point("right", 1)), "additive")
        network = build(space, space.architecture([node]), data.search.signature)
    train(network, data.search.train, Schedule(data.search.select, 8, 8), Recipe.of(space), seed=0)
    write_native(folder / "net", network, space.to_yaml(), data.preprocessing)
    return folder


def test_a_network_adapts_to_data_where_a_sign_has_turned(trained: Path, tmp_path: Path) -> None:
    report = fn.adapt(trained / "net", output=tmp_path / "out", data=trained / "new.npz", overrides=LONGER)
    assert report["before"]["accuracy"] < 0.65 and report["after"]["accuracy"] > 0.85
    assert 0 < report["trained"] < report["weights"]
    again = fn.evaluate(tmp_path / "out", data=trained / "new.npz", split="development")
    assert again["metrics"]["accuracy"] > 0.85
    old, new = (read_native(folder).network.state_dict() for folder in (trained / "net", tmp_path / "out"))
    assert old.keys() == new.keys()


def test_only_the_fusion_adapts_where_only_that_is_asked(trained: Path, tmp_path: Path) -> None:
    fn.adapt(trained / "net", output=tmp_path / "out", data=trained / "new.npz", parts=["fusion"])
    old, new = (read_native(folder).network.state_dict() for folder in (trained / "net", tmp_path / "out"))
    assert {name.partition(".")[0] for name in old if not torch.equal(old[name], new[name])} == {"head"}


def test_what_cannot_be_adapted_is_told(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected encoders, fusion or both\n.*'fusoin': Did you mean 'fusion'"):
        fn.adapt(trained / "net", output=tmp_path / "out", parts=["fusoin"])
    with pytest.raises(InputError, match="training.adapt.rank: 99 is as large as the weights of fusion; lower it"):
        fn.adapt(
            trained / "net", output=tmp_path / "out", data=trained / "new.npz", parts=["fusion"],
            overrides=["training.adapt.rank=99"],
        )  # fmt: skip
