"""Hard gates: each channel of each input is taken or left; gradients pass as through soft gates."""

from __future__ import annotations

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
    slot_sum,
    vector_result,
    vector_slots,
)


@register_operator("gated_hard")
class GatedHard(FusionOperator):
    """``sum_j [G_j [x_1..x_k] + c_j > 0] * tanh(W_j x_j + b_j)``: k vectors (..., B, 1, D) -> (..., B, 1, D).

    Gates are 0 or 1, in training too; their gradient is that of the sigmoid. The term of an absent input is left out.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = sum_j g_j * tanh(W_j x_j + b_j); g_j = 1 where G_j [x_1; ...; x_k] + c_j > 0, else 0",
        source="Bengio et al., Estimating or Propagating Gradients Through Stochastic Neurons for Conditional "
        "Computation, 2013, arXiv:1308.3432, straight-through estimator; terms of Arevalo et al., 2017, "
        "arXiv:1702.01992",
        departs="gates are thresholds, not samples; their gradient is that of the sigmoid, not 1; absent terms are "
        "left out",
        parameters="k²·D² + k·D + k·D² + k·D",
        macs="k²·D² + k·D²",
        rank=7,
        absent="its term is left out; other gates see zeros",
    )
    straight_through: ClassVar[bool] = True

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.gates = Linear(inputs * width, inputs * width)
        self.transforms = SlotLinear(inputs, width, fan_out=width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the sum of the channels whose gates are open."""
        values, present = vector_slots(features)
        logits = self.gates(values.flatten(-2)).reshape(values.shape)
        gates = straight_through((logits > 0).to(logits.dtype), logits.sigmoid())
        return vector_result(slot_sum(gates, self.transforms(values).tanh(), present), any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k^2 D^2 + k D`` for the gates, ``k D^2 + k D`` for the transforms."""
        return (inputs**2 + inputs) * width**2 + 2 * inputs * width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``(k^2 + k) D^2``; vectors, so ``tokens`` do not count."""
        return (inputs**2 + inputs) * width**2


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of ``hard``, the gradient of ``soft``."""
    # soft - soft is exactly 0, so that 0 and 1 stay 0 and 1; (hard - soft) + soft may round.
    return hard + (soft - soft.detach())
