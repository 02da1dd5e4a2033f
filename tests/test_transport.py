"""Transport between tokens: costs, marginals, padding, precision."""

from __future__ import annotations

import pytest
import torch

from fusionnas.feature import Feature
from fusionnas.transport import cosine_cost, distance, transport


def test_identical_single_tokens_cost_nothing() -> None:
    token = Feature.vector(torch.randn(3, 8))
    assert torch.allclose(distance(token, token), torch.zeros(3), atol=1e-6)


def test_a_plan_has_even_marginals_over_real_tokens_and_none_over_padding() -> None:
    torch.manual_seed(0)
    first, second = torch.rand(6, 5) > 0.3, torch.rand(6, 7) > 0.3
    first[0], second[1] = False, False
    plan = transport(torch.rand(6, 5, 7) * 2, first, second)
    assert plan.isfinite().all() and not plan[0].any() and not plan[1].any()
    for sample in range(2, 6):
        a, b = first[sample], second[sample]
        assert torch.allclose(plan[sample].sum(0), b / b.sum(), atol=1e-5)
        assert torch.allclose(plan[sample].sum(1), a / a.sum(), atol=1e-5)


@pytest.mark.parametrize(("first", "second"), [(1, 4), (2, 4), (3, 4), (4, 4)])
def test_rounding_leaves_no_weight_below_nothing(first: int, second: int) -> None:
    cost = torch.rand(400, first, second, generator=torch.Generator().manual_seed(0)) * 2
    plan = transport(cost, torch.ones(400, first) > 0, torch.ones(400, second) > 0)
    assert plan.min() >= 0 and torch.allclose(plan.sum((1, 2)), torch.ones(400), atol=1e-5)


def test_the_plan_is_the_best_assignment() -> None:
    from scipy.optimize import linear_sum_assignment

    cost = torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(3)) * 2
    plan = transport(cost, torch.ones(1, 6) > 0, torch.ones(1, 6) > 0, steps=300)
    rows, columns = linear_sum_assignment(cost[0].numpy())
    best = float(cost[0][rows, columns].mean())
    assert float((plan * cost).sum()) == pytest.approx(best, rel=0.05)


def test_half_precision_and_zero_tokens_stay_finite() -> None:
    zero = Feature(torch.zeros(2, 3, 8, dtype=torch.float16), torch.ones(2, 3) > 0, torch.ones(2) > 0)
    assert torch.equal(cosine_cost(zero, zero), torch.ones(2, 3, 3))
    assert distance(zero, zero).tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
