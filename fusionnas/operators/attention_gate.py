"""Attention over inputs: one weight per input and sample says how much of it counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from fusionnas.feature import Feature
from fusionnas.layers import Linear, SlotLinear
from fusionnas.operators.base import (
    FusionOperator,
    OperatorFacts,
    any_present,
    register_operator,
    vector_result,
    vector_slots,
)
from fusionnas.operators.gated_softmax import masked_softmax


@register_operator("attention_gate")
class AttentionGate(FusionOperator):
    """``sum_j a_j (P_j x_j + b_j)``: k vectors (..., B, 1, D) -> (..., B, 1, D).

    ``a = softmax(W [x_1..x_k] + c)``, one number per input, over the inputs that are there: an absent one gets
    exactly 0. ``W`` starts at zero, so that all inputs count alike.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = sum_j a_j (P_j x_j + b_j); a = softmax(W [x_1; ...; x_k] + c), one number per input",
        source="Liang et al., Foundations and Trends in Multimodal Machine Learning, 2022, arXiv:2209.03430, gates as "
        "attention; form as in TorchMultimodal's attention fusion module",
        departs="absent inputs take no part in the softmax; W starts at zero; inputs keep their declared order",
        parameters="k²·D + k + k·D² + k·D",
        macs="k²·D + k·D²",
        rank=7,
        absent="its weight goes to the others",
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.attention = Linear(inputs * width, inputs)
        nn.init.zeros_(self.attention.weight)
        self.transforms = SlotLinear(inputs, width, fan_out=width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> their weighted mean."""
        values, present = vector_slots(features)
        weights = masked_softmax(self.attention(values.flatten(-2)), present, dim=-1)
        return vector_result((weights.unsqueeze(-1) * self.transforms(values)).sum(-2), any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k^2 D + k`` for the attention, ``k D^2 + k D`` for the transforms."""
        return inputs**2 * width + inputs + inputs * (width**2 + width)

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``k^2 D + k D^2``; vectors, so ``tokens`` do not count."""
        return inputs**2 * width + inputs * width**2
