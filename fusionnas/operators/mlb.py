"""Low-rank bilinear pooling with activations: the product of squashed projections (MLB)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

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


@register_operator("mlb")
class Mlb(FusionOperator):
    """``V prod_j tanh(U_j x_j + b_j) + c``: k vectors (..., B, 1, D) -> (..., B, 1, D); an absent factor is 1."""

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = V prod_j tanh(U_j x_j + b_j) + c",
        source="Kim et al., Hadamard Product for Low-rank Bilinear Pooling, ICLR 2017, arXiv:1610.04325, equation 8",
        departs="k inputs, not two; D channels between; the factor of an absent input is 1; V starts 2.5 times larger "
        "to make up for what two tanh take of the variance",
        parameters="k·(D² + D) + D² + D",
        macs="k·D² + D²",
        rank=3,
        absent="its factor is 1",
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.factors = SlotLinear(inputs, width, fan_out=width)
        self.project = Linear(width, width, gain=2.5)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the projected product of their squashed factors."""
        values, present = vector_slots(features)
        factors = where_present(present.unsqueeze(-1), self.factors(values).tanh(), 1.0)
        return vector_result(self.project(slot_product(factors)), any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k (D^2 + D) + D^2 + D``."""
        return (inputs + 1) * (width**2 + width)

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``k D^2 + D^2``; vectors, so ``tokens`` do not count."""
        return (inputs + 1) * width**2
