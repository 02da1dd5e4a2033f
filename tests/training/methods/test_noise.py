"""Noise on the inputs: as much as asked, where there is something, and not on ids."""

from __future__ import annotations

import pytest
import torch

from fusionnas.feature import Feature
from fusionnas.training.methods.noise import Noise
from tests.spaces import random_inputs
from tests.training.problem import reads, recipe


def test_real_numbers_get_noise_of_the_asked_deviation_and_nothing_else_changes() -> None:
    ids = torch.randint(1, 9, (2000, 3))
    inputs = {**random_inputs(2000, 1), "words": Feature(ids, ids > 0, torch.ones(2000, dtype=torch.bool))}
    torch.manual_seed(0)
    changed = Noise(("a", "b", "words"), 0.25).inputs(inputs)
    for name in ("a", "b"):
        added, mask = changed[name].values - inputs[name].values, inputs[name].mask
        assert float(added[mask].std()) == pytest.approx(0.25, rel=0.03)
        assert not added[~mask].any()
    assert changed["words"] is inputs["words"] and changed["c"] is inputs["c"]


def test_it_is_off_at_zero_and_covers_every_view() -> None:
    assert Noise.of(recipe(), reads()) is None
    method = Noise.of(recipe(robustness={"noise": 0.1}), reads("b", "c"))
    assert isinstance(method, Noise) and method.names == ("b", "c")
