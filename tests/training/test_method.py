"""Every training method: listed with its facts, resumes to the same bits, leaves no trace in the network's form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from fusionnas.run.unit import Checkpoint
from fusionnas.training.method import Reads, training_methods
from tests.training.problem import VIEWS, network, recipe, trained

SETTINGS: dict[str, dict[str, Any]] = {
    "missing": {"robustness": {"missing": 0.3}},
    "noise": {"robustness": {"noise": 0.5}},
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
    from fusionnas.architecture import Point

    points = [Point("c", 0), Point("a", 1), Point("a", 0), Point("b", 0), Point("b", 2)]
    found = Reads.of(points, recipe(), width=8, outputs=1)
    assert found.points == {"a": (Point("a", 1),), "b": (Point("b", 2), Point("c", 0))}
    assert found.views() == VIEWS
