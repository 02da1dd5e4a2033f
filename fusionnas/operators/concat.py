"""Early fusion: inputs are normalised, put side by side, and mapped by one linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor
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


@register_operator("concat")
class Concat(FusionOperator):
    """``W [n(x_1); ...; n(x_k)] + b``, n each input's normalisation: k vectors (..., B, 1, D) -> (..., B, 1, D).

    On the lowest levels this is early fusion. Without the normalisation it is the additive operator.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = W [n(x_1); ...; n(x_k)] + b, n the normalisation over channels",
        source="Liang et al., Foundations and Trends in Multimodal Machine Learning, 2022, arXiv:2209.03430, early "
        "fusion; normalisation of Ba et al., Layer Normalization, 2016, arXiv:1607.06450",
        departs="each input is normalised, so that none dominates by its scale; n has no scales and shifts of its own, "
        "which W and b would repeat; absent inputs enter as zeros",
        parameters="k·D² + D",
        macs="k·D²",
        rank=2,
        absent="zeros",
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.project = Linear(inputs * width, width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the linear map of their concatenation."""
        values, present = vector_slots(features)
        return vector_result(self.project(side_by_side(values)), any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k D^2 + D``."""
        return inputs * width**2 + width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``k D^2``; vectors, so ``tokens`` do not count."""
        return inputs * width**2


def side_by_side(values: Tensor) -> Tensor:
    """Inputs (..., k, D), each normalised over its channels -> (..., k D); what is 0 stays 0."""
    return functional.layer_norm(values, values.shape[-1:]).flatten(-2)
