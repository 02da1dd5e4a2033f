"""Polynomial fusion: all products of two channels, of one input or of several, in low rank."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionnas.feature import Feature
from fusionnas.layers import Linear, per_member
from fusionnas.operators.base import (
    FusionOperator,
    OperatorFacts,
    any_present,
    register_operator,
    vector_result,
    vector_slots,
)

RANK = 4


@register_operator("polynomial")
class Polynomial(FusionOperator):
    """``sum_r s_r (W_r [1; x_1; ...; x_k])^P + b`` with P = 2: k vectors (..., B, 1, D) -> (..., B, 1, D).

    ``order`` is P; parameters do not depend on it.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = sum_{r=1..4} s_r (W_r [1; x_1; ...; x_k])^2 + b, the square channel by channel",
        source="Hou et al., Deep Multimodal Multilinear Fusion with High-order Polynomial Pooling, NeurIPS 2019, "
        "polynomial tensor pooling block",
        departs="one block over all inputs, no windows; the power is the order (the authors' code takes one power "
        "more), the constant is 1, and no signed root or norm follows; the scales s_r start with alternating signs, "
        "so that the output starts with mean 0",
        parameters="4·(k·D + 1)·D + 4 + D",
        macs="4·k·D²",
        rank=5,
        absent="zeros",
    )
    order: ClassVar[int] = 2

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        fan_in = inputs * width
        self.factors = Linear(fan_in, width * RANK, bias=False, gain=math.sqrt(fan_in / (fan_in + 1)))
        self.pool = PolynomialPool(width, self.order, constant=1 / math.sqrt(fan_in + 1))

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the scaled sum of the powers of their projections."""
        values, present = vector_slots(features)
        return vector_result(self.pool(self.factors(values.flatten(-2))), any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``4 (k D + 1) D + 4 + D``."""
        return RANK * (inputs * width + 1) * width + RANK + width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``4 k D^2``; vectors, so ``tokens`` do not count."""
        return RANK * inputs * width**2


class PolynomialPool(nn.Module):
    """``sum_r s_r (f_r + c_r)^P + b``: projections (..., 4 D) -> (..., D).

    Args:
        width: channels D out.
        order: P; parameters do not depend on it.
        constant: standard deviation of the constants c_r at first.
    """

    def __init__(self, width: int, order: int = 2, *, constant: float = 0.1) -> None:
        super().__init__()
        self.width, self.order = width, order
        self.constants = nn.Parameter(torch.randn(RANK * width) * constant)
        # The square of a unit normal has variance 2: scales of this size give the sum variance 1.
        self.scales = nn.Parameter(torch.tensor([1.0, -1.0] * (RANK // 2)) / math.sqrt(2 * RANK))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, factors: Tensor) -> Tensor:
        """The power is a product, so it and its gradient are finite everywhere, at zero too."""
        factors = factors + per_member(self.constants, factors)
        power = functools.reduce(torch.mul, [factors] * self.order)
        scaled = power * per_member(self.scales.repeat_interleave(self.width, -1), power)
        mixed = scaled.reshape(*scaled.shape[:-1], RANK, self.width).sum(-2)
        return mixed + per_member(self.bias, mixed)
