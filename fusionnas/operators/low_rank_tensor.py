"""Low-rank tensor fusion: all interactions of all inputs, the weight tensor kept as a sum of few rank-one terms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from fusionnas.feature import Feature
from fusionnas.layers import SlotLinear, per_member
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

RANK = 4


@register_operator("low_rank_tensor")
class LowRankTensor(FusionOperator):
    """``sum_r s_r prod_j (W_jr [1; x_j]) + b``: k vectors (..., B, 1, D) -> (..., B, 1, D).

    The factor of an absent input is 1, so k inputs give exactly the operator over those that are there.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = sum_{r=1..4} s_r prod_j (W_jr [1; x_j]) + b",
        source="Liu et al., Efficient Low-rank Multimodal Fusion with Modality-Specific Factors, ACL 2018, "
        "arXiv:1806.00064",
        departs="the factor of an absent input is 1 (x := 0 in the source leaves the factor's constant, and so depends "
        "on the absent input's weights); factors start with variance 1 / (D + 1) and s_r = 1 / sqrt(4), because the "
        "authors' code starts the output near zero",
        parameters="4·k·D·(D + 1) + 4 + D",
        macs="4·k·D²",
        rank=4,
        absent="its factor is 1",
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        gain = math.sqrt(width / (width + 1))
        self.factors = SlotLinear(inputs, width, fan_out=width * RANK, gain=gain)
        nn.init.normal_(self.factors.bias, std=1 / math.sqrt(width + 1))
        self.scales = nn.Parameter(torch.full((RANK,), 1 / math.sqrt(RANK)))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the scaled sum of the products of their factors."""
        values, present = vector_slots(features)
        factors = where_present(present.unsqueeze(-1), self.factors(values), 1.0)
        product = slot_product(factors)
        # Rank by rank: a sum over a dimension of 4 costs more than the products.
        mixed = per_member(self.bias, product)
        for part, scale in zip(product.chunk(RANK, -1), self.scales.split(1, -1), strict=True):
            mixed = mixed + part * per_member(scale, part)
        return vector_result(mixed, any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``4 k D (D + 1) + 4 + D``."""
        return RANK * inputs * width * (width + 1) + RANK + width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``4 k D^2``; vectors, so ``tokens`` do not count."""
        return RANK * inputs * width**2
