"""MUTAN: bilinear fusion whose weight tensor is a Tucker decomposition with a core of low rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from fusionnas.feature import Feature
from fusionnas.layers import Linear, SlotLinear
from fusionnas.operators.base import (
    FusionOperator,
    OperatorFacts,
    any_present,
    register_operator,
    slot_product,
    vector_result,
    vector_slots,
    where_present,
)

RANK = 4


@register_operator("mutan")
class Mutan(FusionOperator):
    """``V sum_r prod_j (M_jr tanh(U_j x_j + b_j) + c_jr) + d``: k vectors (..., B, 1, D) -> (..., B, 1, D).

    The factor of an absent input is 1, so k inputs give exactly the operator over those that are there.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = V sum_{r=1..4} prod_j (M_jr tanh(U_j x_j + b_j) + c_jr) + d",
        source="Ben-younes et al., MUTAN: Multimodal Tucker Fusion for Visual Question Answering, ICCV 2017, "
        "arXiv:1705.06676",
        departs="k inputs, not two; rank 4 and D channels throughout; tanh between the two maps of an input (two "
        "linear maps in a row are one); the factor of an absent input is 1",
        parameters="k·D·(D + 1) + 4·k·D·(D + 1) + D² + D",
        macs="5·k·D² + D²",
        rank=3,
        absent="its factor is 1",
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.reduce = SlotLinear(inputs, width, fan_out=width)
        # tanh leaves a unit normal a standard deviation of 0.63.
        self.factors = SlotLinear(inputs, width, fan_out=RANK * width, gain=1.6)
        self.project = Linear(width, width, gain=1 / math.sqrt(RANK))

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the projected sum of the products of their factors."""
        values, present = vector_slots(features)
        factors = self.factors(self.reduce(values).tanh())
        mixed = sum_of_products(where_present(present.unsqueeze(-1), factors, 1.0), RANK)
        return vector_result(self.project(mixed), any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k D (D + 1)`` to reduce, ``4 k D (D + 1)`` for the factors, ``D^2 + D`` for the output."""
        return mutan_parameters([width] * inputs, width, middle=width, rank=RANK)

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``5 k D^2 + D^2``; vectors, so ``tokens`` do not count."""
        return ((RANK + 1) * inputs + 1) * width**2


def sum_of_products(factors: Tensor, rank: int) -> Tensor:
    """Factors (..., k, r D) -> their product over k, summed over the r parts, (..., D)."""
    product = slot_product(factors)
    return product.reshape(*product.shape[:-1], rank, -1).sum(-2)


def mutan_parameters(widths: Sequence[int], outputs: int, *, middle: int, rank: int, chunks: int = 1) -> int:
    """Parameters for inputs of these widths, ``middle`` channels in ``chunks`` that do not mix, and this rank."""
    reduce = middle * sum(width + 1 for width in widths)
    return reduce + len(widths) * rank * middle * (middle // chunks + 1) + (middle + 1) * outputs
