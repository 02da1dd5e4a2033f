"""The second-order gradient: exact against a written-out unroll, for every operator and encoder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusionnas.operators import operators
from fusionnas.search.second_order import second_order_gradient
from fusionnas.supernet import Alphas, Supernet
from fusionnas.supernet.mixing import softmax
from fusionnas.training.scoring import nll
from tests.spaces import random_part, tiny_signature, tiny_space


def bilevel(names: tuple[str, ...], *, dropout: bool = False):
    """(training loss, held-out loss, weights, alphas) of a supernet in float64."""
    decides = all(operators[name].decides for name in names)
    space = tiny_space(operators=names, nodes=1 if decides else 2)
    torch.manual_seed(0)
    supernet, alphas = Supernet(space, tiny_signature()).double().train(dropout), Alphas(space).double()
    with torch.no_grad():
        for parameter in alphas.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape))

    def loss(seed: int):
        part = random_part(24, seed)
        inputs = {name: f._replace(values=f.values.double()) for name, f in part.inputs.items()}
        return lambda: nll(supernet(inputs, alphas.mixing(softmax)), part.target).mean()

    return loss(1), loss(2), list(supernet.parameters()), list(alphas.parameters())


SMOOTH = [n for n in operators if operators[n].inputs_range[0] <= 3 and not operators[n].straight_through]
"""Operators whose gradient is that of their values."""


@pytest.mark.parametrize("name", SMOOTH)
def test_exact_equals_differences_of_the_held_out_loss_itself(name: str) -> None:
    training, held_out, weights, alphas = bilevel((name,))
    rate = 0.5
    found = second_order_gradient(training, held_out, weights, alphas, rate=rate)
    along = [torch.randn_like(a) for a in alphas]

    def after_step() -> float:
        gradients = torch.autograd.grad(training(), weights, allow_unused=True)
        old = [w.data for w in weights]
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.data = weight.data if gradient is None else weight.data - rate * gradient
        value = held_out().item()
        for weight, before in zip(weights, old, strict=True):
            weight.data = before
        return value

    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            for alpha, direction in zip(alphas, along, strict=True):
                alpha.add_(sign * 1e-5 * direction)
        sides.append(after_step())
        with torch.no_grad():
            for alpha, direction in zip(alphas, along, strict=True):
                alpha.sub_(sign * 1e-5 * direction)
    slope = (sides[0] - sides[1]) / 2e-5
    expected = sum(float((g * d).sum()) for g, d in zip(found, along, strict=True))
    assert expected == pytest.approx(slope, rel=1e-5, abs=1e-9)


def test_the_papers_differences_come_close_and_draw_the_same_dropout() -> None:
    training, held_out, weights, alphas = bilevel(("additive", "gated", "mlp"), dropout=True)
    before = [w.clone() for w in weights]
    results = []
    for differences in (False, True):
        torch.manual_seed(4)
        results.append(second_order_gradient(training, held_out, weights, alphas, rate=0.3, differences=differences))
    for exact, close in zip(*results, strict=True):
        torch.testing.assert_close(exact, close, rtol=1e-2, atol=1e-4)
    assert all(map(torch.equal, before, weights))


def test_rate_zero_is_first_order_and_unused_parameters_have_gradient_zero() -> None:
    weight, unused = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(1.0))
    alpha, idle = nn.Parameter(torch.tensor(3.0)), nn.Parameter(torch.tensor(5.0))
    found = [
        second_order_gradient(lambda: alpha * weight**2, lambda: weight * alpha, [weight, unused], [alpha, idle],
                              rate=rate)
        for rate in (0.0, 0.1)
    ]  # fmt: skip
    assert [float(g) for g in found[0]] == [2.0, 0.0]
    # w' = 2 - 0.1 * 12 = 0.8; d(w' alpha)/dalpha = w' + alpha * dw'/dalpha = 0.8 - 3 * 0.1 * 4.
    assert float(found[1][0]) == pytest.approx(-0.4) and float(found[1][1]) == 0.0
