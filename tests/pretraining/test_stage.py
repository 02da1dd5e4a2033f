"""Pretraining before the search: it changes encoders, resumes to the same bits, seeds what follows, and helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusionnas.data.base import Part, SearchData
from fusionnas.errors import SpaceError
from fusionnas.feature import Feature, InputSpec, Signature
from fusionnas.network import build, predict
from fusionnas.pretraining.stage import pretrain_unlabelled, split_weights
from fusionnas.run import Run
from fusionnas.run.progress import QuietProgress
from fusionnas.run.unit import Checkpoint
from fusionnas.search.pretrain import load_pretrained, pretrain
from fusionnas.search.references import late
from fusionnas.space import SearchSpace
from fusionnas.supernet import Supernet
from fusionnas.training.randomness import seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import nll
from fusionnas.training.train import Schedule, train
from tests.spaces import TEXT, tiny_data, tiny_signature

OBJECTIVES = ("align", "mask", "albef", "vilt", "vlc")


def space_of(objective: str, *, epochs: int = 3, operators: str = "additive, cross_attention") -> SearchSpace:
    text = TEXT.format(nodes=2, inputs="[2, 3]", operators=operators)
    return SearchSpace.parse(f"{text}pretrain: {{objective: {objective}, epochs: {epochs}}}\n")


def ignore(facts: Any) -> None:
    pass


class Stop(Exception):
    pass


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_changes_encoders_lowers_its_loss_and_resumes_to_the_same_bits(tmp_path: Path, objective: str) -> None:
    space, data = space_of(objective), tiny_data()

    def stop(facts: Any) -> None:
        if facts["epoch"] == 3:
            raise Stop

    whole = pretrain_unlabelled(space, data, seed=1, checkpoint=Checkpoint(tmp_path / "whole", 0), watch=ignore)
    assert whole.facts["history"][-1] < whole.facts["history"][0]
    with pytest.raises(Stop):
        pretrain_unlabelled(space, data, seed=1, checkpoint=Checkpoint(tmp_path / "state", 0), watch=stop)
    assert len(Checkpoint(tmp_path / "state", 0).load()["history"]) == 2
    again = pretrain_unlabelled(space, data, seed=1, checkpoint=Checkpoint(tmp_path / "state", 0), watch=ignore)
    assert again.facts == whole.facts
    assert all(torch.equal(whole.tensors[key], value) for key, value in again.tensors.items())
    found = split_weights(whole.tensors)
    assert set(found) == ({"a", "b", "c", "operator cross_attention"})
    with seeded(0):
        fresh = Supernet(space, data.signature)
    assert set(found["b"]) == set(fresh.encoders["b"].state_dict())  # every choice of every layer


def test_labels_do_not_matter(tmp_path: Path) -> None:
    space, data = space_of("mask", epochs=1), tiny_data()
    first = pretrain_unlabelled(space, data, seed=1, checkpoint=Checkpoint(tmp_path / "a", 9), watch=ignore)
    data.train.target.zero_()
    other = pretrain_unlabelled(space, data, seed=1, checkpoint=Checkpoint(tmp_path / "b", 9), watch=ignore)
    assert all(torch.equal(first.tensors[key], value) for key, value in other.tensors.items())


def test_networks_and_supernets_start_from_it(tmp_path: Path) -> None:
    space, data = space_of("mask", epochs=1), tiny_data()
    with Run.create(tmp_path / "run", space=space, settings={}) as run:
        found = pretrain(space, data, seed=1, run=run, progress=QuietProgress(stages=False))
    layers = {"a": ("mlp",), "b": ("tcn", "gru"), "c": ("summary",)}
    with seeded(5):
        network, supernet = build(space, late(space, layers), data.signature), Supernet(space, data.signature)
    load_pretrained(network, found)
    load_pretrained(supernet, found)
    for owner, module in (*network.encoders.items(), *supernet.encoders.items()):
        assert all(torch.equal(value, found[owner][key]) for key, value in module.state_dict().items())
    operator = found["operator cross_attention"]
    for node in supernet.nodes:
        assert all(torch.equal(v, operator[k]) for k, v in node["cross_attention"].state_dict().items())


def test_a_node_with_fewer_inputs_starts_from_the_leading_block() -> None:
    from fusionnas.architecture import Node, Point

    space = space_of("mask")
    with seeded(0):
        three = Supernet(space, tiny_signature()).nodes[0]["cross_attention"].state_dict()
        node = Node((Point("a", 1), Point("b", 1)), "cross_attention")
        layers = {"a": ("mlp",), "b": ("tcn",)}
        network = build(space, space.architecture([node], layers=layers), tiny_signature())
    load_pretrained(network, {"operator cross_attention": three})
    assert torch.equal(network.head.nodes[0].query.weight, three["query.weight"][:8])


def test_a_frozen_encoder_takes_it_instead_of_labels(tmp_path: Path) -> None:
    text = TEXT.format(nodes=1, inputs="2", operators="additive").replace("a: {kind", "a: {policy: frozen, kind")
    space = SearchSpace.parse(f"{text}pretrain: {{objective: align, epochs: 1}}\n")
    with Run.create(tmp_path / "run", space=space, settings={}) as run:
        found = pretrain(space, tiny_data(), seed=1, run=run, progress=QuietProgress(stages=False))
        assert run.known("pretraining") and not run.known("pretrain/a")
    assert set(found) == {"a", "b", "c"}  # no operator of the space reads tokens together


def test_wrong_settings_are_told() -> None:
    with pytest.raises(SpaceError, match=r"pretrain.objective: 'aline' is not a pretraining objective \(did you mean"):
        space_of("aline")
    with pytest.raises(SpaceError, match=r"pretrain.epochs: given 0, expected at least 1"):
        space_of("align", epochs=0)
    text = TEXT.format(nodes=1, inputs="2", operators="additive")
    one = text.replace("  a: {kind: vector, encoder: mlp, levels: 1}\n", "") + "pretrain: {objective: align}\n"
    with pytest.raises(SpaceError, match="'align' needs two modalities or more; with one, use mask"):
        SearchSpace.parse(one)
    assert SearchSpace.parse(one.replace("align", "mask")).file.pretrain.epochs == 20


PLANTED = """
name: planted
data: {format: npz, train: train.npz, target: label}
task: {kind: binary, target: label, metric: accuracy}
modalities:
  a: {kind: vector, encoder: mlp, levels: 1}
  b: {kind: vector, encoder: mlp, levels: 1}
fusion: {nodes: 1, width: 16, operators: [additive]}
training: {batch_size: 64, learning_rate: 0.003, dropout: 0.0}
pretrain: {objective: OBJECTIVE, epochs: 30}
"""


def shared(size: int, seed: int, *, labelled: float) -> Part:
    """Two noisy vectors (N, 24) that share two hidden numbers in a nonlinear way; noise of their own is louder.

    The label is the sign of the hidden numbers' product, and wrong for a share of the samples: labels say little about
    what is worth hearing, the other modality says much.
    """
    generator = torch.Generator().manual_seed(seed)
    mix = torch.Generator().manual_seed(99)
    hidden = torch.randn(size, 2, generator=generator)
    inputs = {}
    for name in "ab":
        loud = torch.randn(size, 22, generator=generator)
        values = torch.cat((hidden + 0.2 * torch.randn(size, 2, generator=generator), 1.5 * loud), 1)
        inputs[name] = Feature.vector(values @ torch.linalg.qr(torch.randn(24, 24, generator=mix))[0])
    target = (hidden[:, 0] > 0).long()
    flip = torch.rand(size, generator=generator) > labelled
    ids = np.array([f"{seed}-{i}" for i in range(size)])
    return Part(inputs, torch.where(flip, 1 - target, target), ids, ids)


def test_alignment_helps_where_labels_are_few_and_wrong_and_modalities_agree(tmp_path: Path) -> None:
    signature = Signature({"a": InputSpec(24), "b": InputSpec(24)}, 1)
    space = SearchSpace.parse(PLANTED.replace("OBJECTIVE", "align"))
    unlabelled, judged = shared(1000, 1, labelled=0.5), shared(1000, 3, labelled=1.0)
    few = shared(60, 2, labelled=0.85)
    data = SearchData(unlabelled, unlabelled.rows(torch.arange(10)), few, signature)
    stage = pretrain_unlabelled(space, data, seed=0, checkpoint=Checkpoint(tmp_path / "s", 99), watch=ignore)
    accuracy = {}
    for start in (False, True):
        found = []
        for seed in range(3):
            with seeded(seed):
                network = build(space, late(space, {"a": ("mlp",), "b": ("mlp",)}), signature)
            if start:
                load_pretrained(network, split_weights(stage.tensors))
            train(network, few, Schedule(None, 15, 15), Recipe(space.file.training), seed=seed)
            logits = predict(network, judged.inputs)
            assert nll(logits, judged.target).isfinite().all()
            found.append(float(((logits[:, 0] > 0) == (judged.target == 1)).float().mean()))
        accuracy[start] = sum(found) / 3
    assert accuracy[True] > accuracy[False] + 0.05, accuracy
