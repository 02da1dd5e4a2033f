"""Additive and multiplicative fusion in one: what each input says alone, and what they say together."""

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


@register_operator("additive_multiplicative")
class AdditiveMultiplicative(FusionOperator):
    """``sum_j W_j x_j + V prod_j (U_j x_j + b_j) + b``: k vectors (..., B, 1, D) -> (..., B, 1, D).

    An absent input has no term in the sum, and its factor is 1. ``V`` starts ten times smaller than ``W``: training
    begins at the additive fusion.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = sum_j W_j x_j + V prod_j (U_j x_j + b_j) + b",
        source="Liang et al., Foundations and Trends in Multimodal Machine Learning, 2022, arXiv:2209.03430, "
        "additive and multiplicative fusion",
        departs="the inputs are projected before they are multiplied, as channel i of one input need not correspond to "
        "channel i of another; the factor of an absent input is 1; V starts with gain 0.1",
        parameters="k·D² + D + k·(D² + D) + D²",
        macs="2·k·D² + D²",
        rank=3,
        absent="its term is left out, its factor is 1",
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.terms = Linear(inputs * width, width)
        self.factors = SlotLinear(inputs, width, fan_out=width)
        self.project = Linear(width, width, bias=False, gain=0.1)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> their weighted sum plus their projected product."""
        values, present = vector_slots(features)
        factors = where_present(present.unsqueeze(-1), self.factors(values), 1.0)
        product = slot_product(factors)
        return vector_result(self.terms(values.flatten(-2)) + self.project(product), any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k D^2 + D`` for the sum, ``k (D^2 + D)`` for the factors, ``D^2`` for their product."""
        return (2 * inputs + 1) * width**2 + (inputs + 1) * width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``2 k D^2 + D^2``; vectors, so ``tokens`` do not count."""
        return (2 * inputs + 1) * width**2
