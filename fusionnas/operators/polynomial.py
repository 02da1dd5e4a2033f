"""Polynomial fusion: all products of two channels, of one input or of several, in low rank."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from fusionnas.feature import Feature
from fusionnas.layers import Linear, per_member
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator, vector_result, vector_slots

RANK = 4


@register_operator("polynomial")
class Polynomial(FusionOperator):
    """``sum_r s_r (W_r [1; x_1; ...; x_k])^P + b`` with P = 2: k vectors (..., B, 1, D) -> (..., B, 1, D).

    The power is taken by multiplication, so it and its gradient are finite everywhere, at zero too. ``order`` is P;
    parameters do not depend on it.
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
    )
    order: ClassVar[int] = 2

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        fan_in = inputs * width
        self.factors = Linear(fan_in, width * RANK, gain=math.sqrt(fan_in / (fan_in + 1)))
        assert self.factors.bias is not None
        nn.init.normal_(self.factors.bias, std=1 / math.sqrt(fan_in + 1))
        # The square of a unit normal has variance 2: scales of this size give the sum variance 1.
        self.scales = nn.Parameter(torch.tensor([1.0, -1.0] * (RANK // 2)) / math.sqrt(2 * RANK))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the scaled sum of the powers of their projections."""
        values, present = vector_slots(features)
        factor = self.factors(values.flatten(-2))
        power = functools.reduce(torch.mul, [factor] * self.order)
        scaled = power * per_member(self.scales.repeat_interleave(self.width, -1), power)
        mixed = scaled.reshape(*scaled.shape[:-1], RANK, self.width).sum(-2)
        return vector_result(mixed + per_member(self.bias, mixed), present.any(-1))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``4 (k D + 1) D + 4 + D``."""
        return RANK * (inputs * width + 1) * width + RANK + width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``4 k D^2``; vectors, so ``tokens`` do not count."""
        return RANK * inputs * width**2
