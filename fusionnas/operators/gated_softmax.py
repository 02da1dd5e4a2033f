"""Softmax gates: inputs compete for every channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fusionnas.feature import Feature, everywhere
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


@register_operator("gated_softmax")
class GatedSoftmax(FusionOperator):
    """``sum_j a_j * (W_j x_j + b_j)``: k vectors (..., B, 1, D) -> (..., B, 1, D).

    ``a = softmax_j(G_j [x_1..x_k] + c_j)``, channel by channel, over the inputs that are there: the weight of an
    absent input is exactly 0.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = sum_j a_j * (W_j x_j + b_j); a = softmax_j(G_j [x_1; ...; x_k] + c_j), channel by channel",
        source="Liang et al., Foundations and Trends in Multimodal Machine Learning, 2022, arXiv:2209.03430, "
        "gated fusion; for two inputs the gates g and 1 - g of Arevalo et al., 2017, arXiv:1702.01992",
        departs="any number of inputs; no tanh; absent inputs take no part in the softmax",
        parameters="k²·D² + k·D + k·D² + k·D",
        macs="k²·D² + k·D²",
        rank=7,
        absent="its weight goes to the others",
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.gates = Linear(inputs * width, inputs * width)
        self.transforms = SlotLinear(inputs, width, fan_out=width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> their mixture."""
        values, present = vector_slots(features)
        gates = masked_softmax(self.gates(values.flatten(-2)).reshape(values.shape), present.unsqueeze(-1), dim=-2)
        return vector_result(slot_sum(gates, self.transforms(values), present), any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k^2 D^2 + k D`` for the gates, ``k D^2 + k D`` for the transforms."""
        return (inputs**2 + inputs) * width**2 + 2 * inputs * width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``(k^2 + k) D^2``; vectors, so ``tokens`` do not count."""
        return (inputs**2 + inputs) * width**2


def masked_softmax(logits: Tensor, mask: Tensor, *, dim: int) -> Tensor:
    """Softmax over the places where ``mask`` is True; the others get exactly 0, all of them if there is none."""
    # The lowest number, not minus infinity: a softmax over minus infinities alone is NaN, and so is its gradient.
    if everywhere(mask):
        return logits.softmax(dim)
    lowest = torch.where(mask, logits, torch.finfo(logits.dtype).min)
    return torch.where(mask, lowest.softmax(dim), 0.0)
