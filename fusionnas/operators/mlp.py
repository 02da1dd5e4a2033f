"""Nonlinear fusion: the concatenation through a perceptron with one hidden layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch.nn import functional

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


@register_operator("mlp")
class Mlp(FusionOperator):
    """``V gelu(W [x_1; ...; x_k] + b) + c`` with 2 D hidden units: k vectors (..., B, 1, D) -> (..., B, 1, D).

    Absent inputs enter as zeros. ``V`` starts 1.5 times larger to make up for what GELU takes of the variance.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = V gelu(W [x_1; ...; x_k] + b) + c, 2 D hidden units",
        source="Liang et al., Foundations and Trends in Multimodal Machine Learning, 2022, arXiv:2209.03430, "
        "nonlinear fusion",
        departs="one hidden layer, GELU",
        parameters="k·2·D² + 2·D + 2·D² + D",
        macs="k·2·D² + 2·D²",
        rank=8,
        absent="zeros",
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.hidden = Linear(inputs * width, 2 * width)
        self.project = Linear(2 * width, width, gain=1.5)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the perceptron's output."""
        values, present = vector_slots(features)
        hidden = functional.gelu(self.hidden(values.flatten(-2)))
        return vector_result(self.project(hidden), any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``2 k D^2 + 2 D`` for the hidden layer, ``2 D^2 + D`` for the output."""
        return 2 * (inputs + 1) * width**2 + 3 * width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``2 (k + 1) D^2``; vectors, so ``tokens`` do not count."""
        return 2 * (inputs + 1) * width**2
