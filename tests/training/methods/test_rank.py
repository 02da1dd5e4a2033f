"""Tensor rank regularisation: the norm is that of the expanded tensor, and it falls where it is penalised."""

from __future__ import annotations

import pytest
import torch

from fusionnas.architecture import Point
from fusionnas.feature import Feature
from fusionnas.training.methods.rank import TensorRank, resampled
from tests.training.problem import network, reads, recipe, trained, two


def test_the_norm_is_that_of_the_expanded_tensor() -> None:
    torch.manual_seed(0)
    points = [Point(name, 1) for name in "abc"]
    features = {p: Feature(torch.randn(3, 5, 4), torch.ones(3, 5) > 0, torch.ones(3) > 0) for p in points}
    one = [torch.nn.functional.pad(features[p].values, (0, 1), value=1.0) for p in points]
    expanded = torch.einsum("bti,btj,btk->bijk", *one) / 5
    expected = expanded.flatten(1).norm(dim=1) / 125**0.5
    assert torch.allclose(TensorRank(points, 1.0).norms(features), expected, atol=1e-5)


def test_sequences_of_any_length_and_vectors_meet() -> None:
    values = torch.arange(6.0).reshape(1, 6, 1)
    mask = torch.tensor([[True, True, True, True, True, False]])
    assert resampled(Feature(values, mask, torch.tensor([True])), 3)[0, :, 0].tolist() == [0.5, 2.5, 4.0]
    vector = Feature.vector(torch.tensor([[7.0]]))
    assert resampled(vector, 3)[0, :, 0].tolist() == [7.0] * 3
    nothing = Feature(values, mask, torch.tensor([True])).absent()
    assert not resampled(nothing, 3).any()


def test_the_penalty_lowers_the_norm() -> None:
    norms = {}
    for weight in (0.0, 3.0):
        fitted = trained("additive", epochs=8, robustness={"rank": weight})
        features = fitted.network.encode(two(400, 2).inputs)
        norms[weight] = float(TensorRank(list(features), 1.0).norms(features).mean().detach())
    assert norms[3.0] < 0.8 * norms[0.0]


def test_it_is_off_at_zero_and_for_one_modality() -> None:
    assert TensorRank.of(recipe(), reads()) is None
    assert TensorRank.of(recipe(robustness={"rank": 0.1}), reads("a")) is None
    found = TensorRank.of(recipe(robustness={"rank": 0.1}), reads())
    assert isinstance(found, TensorRank) and found.points == (Point("a", 1), Point("b", 1), Point("c", 1))


def test_features_of_a_network_have_a_finite_norm() -> None:
    with torch.no_grad():
        features = network("mlp").encode(two(10, 1).inputs)
        norms = TensorRank(list(features), 1.0).norms(features)
    assert norms.shape == (10,) and 0 < float(norms.mean()) == pytest.approx(1, abs=0.6)
