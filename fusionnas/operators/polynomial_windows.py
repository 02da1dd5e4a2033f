"""Polynomial fusion over windows of time, in two layers: products of channels, inputs and nearby steps (HPFN)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from fusionnas.feature import Feature
from fusionnas.layers import Linear
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator
from fusionnas.operators.polynomial import RANK, PolynomialPool
from fusionnas.operators.steps import aligned, step_result

WINDOWS = (2, 4)


@register_operator("polynomial_windows")
class PolynomialWindows(FusionOperator):
    """Two layers of polynomial pooling: k sequences (..., B, T_j, D) -> (..., B, T, D), T the longest.

    Step t of the first layer pools all inputs over the steps t - 1 and t, step t of the second the first layer's over
    t - 3 to t: products of up to four channels that lie within five steps. Steps that are not real are zeros.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="h_t = ptp(x_1t, ..., x_kt; steps t - 1, t); z_t = ptp(h; steps t - 3, ..., t); "
        "ptp(f) = sum_{r=1..4} s_r (W_r [1; f])^2 + b, the square channel by channel",
        source="Hou et al., Deep Multimodal Multilinear Fusion with High-order Polynomial Pooling, NeurIPS 2019, "
        "hierarchical polynomial fusion network",
        departs="two layers with windows of 2 and 4 steps; a window holds all inputs, as windows of neighbouring "
        "inputs would depend on which are there; power, constant and norms as in the operator polynomial; unequal "
        "lengths",
        parameters="8·k·D² + 5·D + 4 + 16·D² + 5·D + 4",
        macs="Tm·(8·k·D² + 16·D²), Tm tokens of the longest input",
        rank=5,
        absent="zeros",
    )
    sequence: ClassVar[bool] = True

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        first, second = WINDOWS
        self.near = Linear(inputs * width, first * RANK * width, bias=False, gain=first**-0.5)
        self.far = Linear(width, second * RANK * width, bias=False, gain=second**-0.5)
        self.pool_near, self.pool_far = PolynomialPool(width), PolynomialPool(width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k sequences -> one, step by step."""
        values, real = aligned(features)
        step = real.any(-1)
        near = self.pool_near(_window(self.near(torch.cat(values, -1)), WINDOWS[0]))
        near = torch.where(step.unsqueeze(-1), near, 0.0)
        return step_result(self.pool_far(_window(self.far(near), WINDOWS[1])), step)

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """Maps for every step of both windows; constants, scales and bias of two poolings."""
        pools = 2 * (RANK * width + RANK + width)
        return RANK * (WINDOWS[0] * inputs + WINDOWS[1]) * width**2 + pools

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``8 k D^2 + 16 D^2`` per step of the longest input."""
        return max(tokens) * RANK * (WINDOWS[0] * inputs + WINDOWS[1]) * width**2


def _window(maps: Tensor, steps: int) -> Tensor:
    """(..., T, steps F) -> (..., T, F): at each step the sum of map i of the step i before it."""
    length = maps.shape[-2]
    parts = maps.chunk(steps, -1)
    late = [functional.pad(part, (0, 0, place, 0))[..., :length, :] for place, part in enumerate(parts)]
    total: Tensor = torch.stack(late).sum(0)
    return total
