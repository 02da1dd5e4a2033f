"""Multiplicative interaction, scalar form: the other inputs scale and shift the first by one number each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import nn

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


@register_operator("multiplicative_interaction_scalar")
class MultiplicativeInteractionScalar(FusionOperator):
    """``(sum_{j>0} w_j x_j + v) x_0 + sum_{j>0} u_j x_j + b``, w_j x_j and u_j x_j numbers: k vectors -> one.

    ``v`` starts at 1. What is absent adds nothing; where the first input is, the shift alone is left.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = (sum_{j>0} w_j x_j + v) x_0 + sum_{j>0} u_j x_j + b; w_j x_j, u_j x_j, v and b are numbers",
        source="Jayakumar et al., Multiplicative Interactions and Where to Find Them, ICLR 2020, scalar form",
        departs="several conditioning inputs add up; v starts at 1, so that the first input passes",
        parameters="2·(k - 1)·D + 2",
        macs="2·(k - 1)·D",
        rank=3,
    )
    ordered: ClassVar[bool] = True

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.conditions = Linear((inputs - 1) * width, 2)
        assert self.conditions.bias is not None
        nn.init.ones_(self.conditions.bias[:1])

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the first one, scaled and shifted as a whole."""
        values, present = vector_slots(features)
        scale, shift = self.conditions(values[..., 1:, :].flatten(-2)).chunk(2, -1)
        return vector_result(scale * values[..., 0, :] + shift, any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``2 (k - 1) D + 2``."""
        return scalar_parameters([width] * (inputs - 1))

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``2 (k - 1) D``; vectors, so ``tokens`` do not count."""
        return 2 * (inputs - 1) * width


def scalar_parameters(conditions: Sequence[int]) -> int:
    """Parameters of the scalar form for conditioning inputs of these widths."""
    return 2 * (sum(conditions) + 1)
