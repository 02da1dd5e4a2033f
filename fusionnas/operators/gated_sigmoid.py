"""Sigmoid gates: every input lets through, channel by channel, what the gates that see all inputs allow."""

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
    slot_sum,
    vector_result,
    vector_slots,
)


@register_operator("gated_sigmoid")
class GatedSigmoid(FusionOperator):
    """``sum_j sigmoid(G_j [x_1..x_k] + c_j) * (W_j x_j + b_j)``: k vectors (..., B, 1, D) -> (..., B, 1, D).

    Gates are independent: all can open, or none. The term of an absent input is left out.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = sum_j sigmoid(G_j [x_1; ...; x_k] + c_j) * (W_j x_j + b_j)",
        source="Liang et al., Foundations and Trends in Multimodal Machine Learning, 2022, arXiv:2209.03430, "
        "gated fusion with soft linear gates",
        departs="inputs are projected before they are gated; absent terms left out",
        parameters="k²·D² + k·D + k·D² + k·D",
        macs="k²·D² + k·D²",
        rank=7,
        absent="its term is left out; other gates see zeros",
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.gates = Linear(inputs * width, inputs * width)
        self.transforms = SlotLinear(inputs, width, fan_out=width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> their gated sum."""
        values, present = vector_slots(features)
        gates = self.gates(values.flatten(-2)).sigmoid().reshape(values.shape)
        return vector_result(slot_sum(gates, self.transforms(values), present), any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k^2 D^2 + k D`` for the gates, ``k D^2 + k D`` for the transforms."""
        return (inputs**2 + inputs) * width**2 + 2 * inputs * width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``(k^2 + k) D^2``; vectors, so ``tokens`` do not count."""
        return (inputs**2 + inputs) * width**2
