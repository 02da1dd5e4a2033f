"""The second-order gradient of architecture parameters: how weights after one step would do on held-out data.

Source: Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", 2019, arXiv:1806.09055, equations 6 to 8. With
``w' = w - rate * g(w, alpha)`` and ``g`` the gradient of the training loss,

    d L_held_out(w', alpha) / d alpha = dL_held_out/dalpha - rate * (dg/dalpha)^T dL_held_out/dw'

Departs from it: the last term is exact, by differentiating ``<g, dL_held_out/dw'>`` once more. The paper's central
differences (``differences=True``) are there to compare with; in 32-bit floats that term is then several per cent off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from fusionnas.training.randomness import random_state, set_random_state, unchanged

Loss = Callable[[], Tensor]
Total = Callable[[list[Tensor]], list[Tensor]]


def second_order_gradient(
    training: Loss,
    held_out: Loss,
    weights: Sequence[nn.Parameter],
    alphas: Sequence[nn.Parameter],
    *,
    rate: float,
    differences: bool = False,
    total: Total = list,
) -> list[Tensor]:
    """Gradient of the held-out loss after one inner step, one tensor per alpha; all parameters stay as they were.

    Args:
        training: mean loss on a training batch, computed anew at every call.
        held_out: mean loss on a batch of the alpha part.
        weights: what the inner step moves; a weight that a loss does not use has gradient zero.
        alphas: architecture parameters.
        rate: learning rate of the inner step (xi in the paper); 0 gives the first-order gradient.
        differences: central differences (equation 8, step 0.01 / norm) instead of differentiating twice.
        total: gradients of these losses -> of the whole losses, where several processes share them; keeps no graph.
    """
    random = random_state()
    with twice_differentiable():
        inner = _gradient(training(), weights, create_graph=not differences)
    with moved(weights, total(inner), -rate):
        direct = total(_gradient(held_out(), [*alphas, *weights]))
    direct, outer = direct[: len(alphas)], direct[len(alphas) :]
    if differences:
        implicit = _by_differences(training, weights, alphas, outer, random)
    else:
        implicit = _along(inner, outer, alphas)
    return [d - rate * i for d, i in zip(direct, total(implicit), strict=True)]


def _by_differences(
    training: Loss,
    weights: Sequence[nn.Parameter],
    alphas: Sequence[nn.Parameter],
    outer: list[Tensor],
    random: Mapping[str, Tensor],
) -> list[Tensor]:
    """Equation 8; both evaluations draw the dropout of the inner step."""
    step = 0.01 / float(torch.sqrt(sum((v.square().sum() for v in outer), torch.zeros(()))))
    sides = []
    for sign in (1, -1):
        with unchanged(), moved(weights, outer, sign * step):
            set_random_state(random)
            sides.append(_gradient(training(), alphas))
    return [(up - down) / (2 * step) for up, down in zip(*sides, strict=True)]


def _along(gradients: Sequence[Tensor], direction: Sequence[Tensor], alphas: Sequence[nn.Parameter]) -> list[Tensor]:
    """Gradient of ``<gradients, direction>``."""
    pairs = [(g, v) for g, v in zip(gradients, direction, strict=True) if g.requires_grad]
    if not pairs:
        return [torch.zeros_like(alpha) for alpha in alphas]
    outputs, weights = zip(*pairs, strict=True)
    return _filled(torch.autograd.grad(outputs, alphas, weights, allow_unused=True), alphas)


def _gradient(loss: Tensor, parameters: Sequence[Tensor], *, create_graph: bool = False) -> list[Tensor]:
    found = torch.autograd.grad(loss, parameters, allow_unused=True, create_graph=create_graph)
    return _filled(found, parameters)


def _filled(gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, parameters, strict=True)]


@contextmanager
def moved(weights: Sequence[nn.Parameter], direction: Sequence[Tensor], step: float) -> Iterator[None]:
    """Inside, ``weights`` are moved by ``step * direction``; after it they hold their old bits again."""
    old = [weight.data for weight in weights]
    try:
        moved = torch._foreach_add(old, [along.detach() for along in direction], alpha=step)
        for weight, values in zip(weights, moved, strict=True):
            weight.data = values
        yield
    finally:
        for weight, before in zip(weights, old, strict=True):
            weight.data = before


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Attention by plain products: the fused kernel on a CPU has no second derivative."""
    with sdpa_kernel(SDPBackend.MATH):
        yield
