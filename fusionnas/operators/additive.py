"""Additive fusion: every input through a linear map of its own, then the sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fusionnas.feature import Feature
from fusionnas.layers import Linear
from fusionnas.operators.base import (
    FusionOperator,
    OperatorFacts,
    any_present,
    register_operator,
    vector_result,
    vector_slots,
)


@register_operator("additive")
class Additive(FusionOperator):
    """``sum_j W_j x_j + b``: k vectors (..., B, 1, D) -> (..., B, 1, D); the terms of absent inputs are left out."""

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = sum_j W_j x_j + b",
        source="Liang et al., Foundations and Trends in Multimodal Machine Learning, 2022, arXiv:2209.03430, "
        "additive fusion",
        departs="one bias for the sum; all W_j are one matrix over the concatenation, which is the same map",
        parameters="k·D² + D",
        macs="k·D²",
        rank=2,
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.project = Linear(inputs * width, width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> their weighted sum."""
        values, present = vector_slots(features)
        return vector_result(self.project(values.flatten(-2)), any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k D^2 + D``."""
        return inputs * width**2 + width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``k D^2``; vectors, so ``tokens`` do not count."""
        return inputs * width**2
