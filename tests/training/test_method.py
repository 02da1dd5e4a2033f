"""Every training method: listed with its facts, resumes to the same bits, leaves no trace in the network's form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from fusionnas.architecture import Point
from fusionnas.network import build
from fusionnas.run.unit import Checkpoint
from fusionnas.search.references import late
from fusionnas.space.schema import Training
from fusionnas.training.method import Reads, training_methods
from fusionnas.training.randomness import seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.train import Schedule, train
from tests.spaces import random_part, tiny_signature, tiny_space
from tests.training.problem import VIEWS, network, recipe, trained

SETTINGS: dict[str, dict[str, Any]] = {
    "missing": {"robustness": {"missing": 0.3}},
    "noise": {"robustness": {"noise": 0.5}},
    "rank": {"robustness": {"rank": 0.5}},
    "blending": {"blending": {"kind": "online", "epochs": 2}},
    "ogm_ge": {"modulation": {"kind": "ogm_ge"}},
    "rubi": {"debias": {"kind": "rubi"}},
    "functional_entropy": {"debias": {"kind": "functional_entropy"}},
    "warm_start": {"warm_start": {"kind": "unimodal", "epochs": 1}},
}


def test_every_method_is_tried_here() -> None:
    assert set(SETTINGS) == set(training_methods)


@pytest.mark.parametrize("name", SETTINGS)
def test_facts_are_complete(name: str) -> None:
    cls = training_methods[name]
    assert all(vars(cls.facts).values()) and re.search(r"\b(19|20)\d\d\b", cls.facts.source)
    assert (cls.__doc__ or "").strip() and cls.facts.key.startswith("training.")


@pytest.mark.parametrize("name", SETTINGS)
def test_it_changes_the_weights_and_not_the_form(name: str) -> None:
    plain, other = trained(epochs=2), trained(epochs=2, **SETTINGS[name])
    assert list(plain.state()) == list(other.state()) == list(network().state_dict())
    assert any(not torch.equal(plain.state()[key], value) for key, value in other.state().items())


class Stop(Exception):
    pass


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("operator", ["additive", "cross_attention"])
def test_a_killed_training_resumes_to_the_same_bits(tmp_path: Path, name: str, operator: str) -> None:
    def stop(facts: Any) -> None:
        if facts["epoch"] == 3:
            raise Stop

    expected = trained(operator, epochs=4, **SETTINGS[name])
    with pytest.raises(Stop):
        trained(operator, epochs=4, checkpoint=Checkpoint(tmp_path / "state", 0), watch=stop, **SETTINGS[name])
    resumed = trained(operator, epochs=4, checkpoint=Checkpoint(tmp_path / "state", 0), **SETTINGS[name])
    assert resumed.trained == expected.trained
    assert all(torch.equal(expected.state()[key], value) for key, value in resumed.state().items())


def test_what_a_network_reads_is_the_deepest_point_of_each_view() -> None:
    points = [Point("c", 0), Point("a", 1), Point("a", 0), Point("b", 0), Point("b", 2)]
    found = Reads.of(points, recipe(), width=8, outputs=1)
    assert found.points == {"a": (Point("a", 1),), "b": (Point("b", 2), Point("c", 0))}
    assert found.views() == VIEWS


def test_all_methods_act_together_on_series_absent_modalities_and_two_views_of_one_source() -> None:
    everything = {
        "robustness": {"missing": 0.3, "noise": 0.1, "rank": 0.1}, "blending": {"kind": "online", "epochs": 2},
        "modulation": "ogm_ge", "debias": "rubi", "warm_start": {"kind": "unimodal", "epochs": 1},
    }  # fmt: skip
    space = tiny_space()
    layers = {name: (m.encoder[0],) * m.levels for name, m in space.file.modalities.items()}
    with seeded(0):
        net = build(space, late(space, layers), tiny_signature())
    used = Recipe(Training(batch_size=32, **everything), {"b": "frozen"}, space.groups())
    frozen = {key: value.clone() for key, value in net.state_dict().items() if key.startswith("encoders.b.")}
    ended = train(net, random_part(96, 1), Schedule(random_part(48, 2), 3, 3), used, seed=0)
    assert len(ended.history) == 3 and list(ended.notes["blending"][0]) == ["epoch", "a", "b", "fused"]
    assert all(torch.equal(net.state_dict()[key], value) for key, value in frozen.items())
