"""Early fusion and per-depth injection."""

from __future__ import annotations

import pytest
import torch

from fusionnas.feature import Feature
from fusionnas.operators import operators


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def vectors(count, width=4, batch=5):
    return [Feature.vector(torch.randn(batch, width)) for _ in range(count)]


def normal(feature):
    return torch.nn.functional.layer_norm(feature.values.squeeze(-2), (4,))


def test_concat_of_normalised_inputs_is_additive():
    concat, additive, inputs = operators["concat"](2, 4), operators["additive"](2, 4), vectors(2)
    additive.load_state_dict(concat.state_dict())
    expected = additive([Feature.vector(normal(f)) for f in inputs])
    torch.testing.assert_close(concat(inputs).values, expected.values)


def test_concat_lets_no_input_dominate_by_its_scale():
    concat, (a, b) = operators["concat"](2, 4), vectors(2)
    loud = a._replace(values=a.values * 1000)
    torch.testing.assert_close(concat([loud, b]).values, concat([a, b]).values, atol=1e-3, rtol=0)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "leaky_relu"])
def test_injection_activates_the_sum_of_state_and_features(activation):
    operator, inputs = operators[f"injection_{activation}"](3, 4), vectors(3)
    linear = operator.project(torch.cat([normal(f) for f in inputs], 1))
    expected = getattr(torch.nn.functional, activation)(linear)
    torch.testing.assert_close(operator(inputs).values.squeeze(-2), expected)
