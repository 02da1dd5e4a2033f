"""Multiplicative fusion: the elementwise product of projected inputs."""

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


@register_operator("multiplicative")
class Multiplicative(FusionOperator):
    """``W_o prod_j (U_j x_j + b_j) + b_o``: k vectors (..., B, 1, D) -> (..., B, 1, D); an absent factor is 1.

    Factors have unit variance at first, so that their product has too. The product is written out because the
    gradient of ``torch.prod`` looks for zeros in the data, which no exported graph can.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = W_o prod_j (U_j x_j + b_j) + b_o",
        source="Liang et al., Foundations and Trends in Multimodal Machine Learning, 2022, arXiv:2209.03430, "
        "multiplicative fusion",
        departs="the inputs are projected before they are multiplied, as channel i of one input need not correspond to "
        "channel i of another (mlb adds activations); the factor of an absent input is 1",
        parameters="k·(D² + D) + D² + D",
        macs="k·D² + D²",
        rank=3,
        absent="its factor is 1",
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.factors = SlotLinear(inputs, width, fan_out=width)
        self.project = Linear(width, width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the projected product of their factors."""
        values, present = vector_slots(features)
        factors = where_present(present.unsqueeze(-1), self.factors(values), 1.0)
        product = slot_product(factors)
        return vector_result(self.project(product), any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k (D^2 + D) + D^2 + D``."""
        return (inputs + 1) * (width**2 + width)

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``k D^2 + D^2``; vectors, so ``tokens`` do not count."""
        return (inputs + 1) * width**2
