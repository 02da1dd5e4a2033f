"""Metrics of many resamples at once are scikit-learn's, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionnas.training.scoring import metric, resampled


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), distinct=st.integers(1, 40), name=st.sampled_from(["roc_auc", "average_precision"]))
def test_ranking_metrics_with_ties_and_weights(seed: int, distinct: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.integers(0, distinct, 60) / distinct
    probability = np.stack([1 - positive, positive], axis=1)
    target = rng.integers(0, 2, 60)
    target[:2] = 0, 1
    weights = rng.multinomial(60, np.full(60, 1 / 60), size=4).astype(np.float64)
    weights[:, :2] += 1  # both classes in every resample
    expected = [metric(name, probability, target, weight) for weight in weights]
    np.testing.assert_allclose(resampled(name, probability, target, weights), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1_macro", "log_loss"])
def test_other_metrics_are_taken_one_by_one(name: str) -> None:
    rng = np.random.default_rng(0)
    probability, target = rng.dirichlet(np.ones(3), 50), rng.integers(0, 3, 50)
    weights = rng.multinomial(50, np.full(50, 1 / 50), size=3).astype(np.float64)
    expected = [metric(name, probability, target, weight) for weight in weights]
    assert resampled(name, probability, target, weights).tolist() == expected


def test_perfect_and_reversed_rankings() -> None:
    target, one = np.array([0, 0, 1, 1]), np.ones((1, 4))
    right = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8]])
    assert resampled("roc_auc", right, target, one) == 1 and resampled("average_precision", right, target, one) == 1
    assert resampled("roc_auc", right[:, ::-1], target, one) == 0
    assert resampled("roc_auc", np.full((4, 2), 0.5), target, one) == 0.5
