"""Feature-wise linear modulation: the other inputs scale and shift the channels of the first."""

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


@register_operator("film")
class Film(FusionOperator):
    """``(1 + g) * W x_0 + s`` where ``[g; s] = sum_{j>0} C_j x_j + c``: k vectors (..., B, 1, D) -> (..., B, 1, D).

    The first input is modulated by the others. Where it is absent, ``s`` alone is left.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = (1 + g) * W x_0 + s; [g; s] = sum_{j>0} C_j x_j + c",
        source="Perez et al., FiLM: Visual Reasoning with a General Conditioning Layer, AAAI 2018, arXiv:1709.07871",
        departs="on a projected vector, not on feature maps; several conditioning inputs add up; scales are told as "
        "their difference from 1",
        parameters="D² + 2·(k - 1)·D² + 2·D",
        macs="D² + 2·(k - 1)·D²",
        rank=7,
        absent="zeros; without the first, the shift alone is left",
    )
    ordered: ClassVar[bool] = True

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.project = Linear(width, width, bias=False)
        self.conditions = Linear((inputs - 1) * width, 2 * width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the first one, modulated."""
        values, present = vector_slots(features)
        scale, shift = self.conditions(values[..., 1:, :].flatten(-2)).chunk(2, -1)
        return vector_result((1 + scale) * self.project(values[..., 0, :]) + shift, any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``D^2`` for the projection, ``2 (k - 1) D^2 + 2 D`` for the conditions."""
        return (2 * inputs - 1) * width**2 + 2 * width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``D^2 + 2 (k - 1) D^2``; vectors, so ``tokens`` do not count."""
        return (2 * inputs - 1) * width**2
