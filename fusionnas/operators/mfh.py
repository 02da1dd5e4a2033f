"""Factorised high-order pooling: two poolings in a row, the second of products of twice as many factors (MFH)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.feature import Feature
from fusionnas.layers import Linear, SlotLinear
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
from fusionnas.operators.mfb import FACTOR, mfb_parameters, signed_sqrt

ORDERS = 2


@register_operator("mfh")
class Mfh(FusionOperator):
    """``V [n(pool(p_1)); n(pool(p_1 p_2))] + c`` with ``p_q = prod_j (U_jq x_j + b_jq)``: k vectors -> one.

    The second pooling multiplies its product by the first one's before pooling, so that it holds interactions of
    twice the order. Factors of an absent input are 1.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = V [n(pool(p_1)); n(pool(p_1 p_2))] + c; p_q = prod_j (U_jq x_j + b_jq); pool adds 2 channels "
        "each; n(u) = r / |r|, r = sign(u) sqrt(|u|)",
        source="Yu et al., Beyond Bilinear: Generalized Multimodal Factorized High-order Pooling for Visual Question "
        "Answering, IEEE TNNLS 2018, arXiv:1708.03619",
        departs="k inputs, not two; two poolings of D channels, 2 in a group; root, V and biases as in mfb; factors of "
        "an absent input are 1",
        parameters="4·k·D·(D + 1) + 2·D² + D",
        macs="4·k·D² + 2·D²",
        rank=3,
        absent="its factor is 1",
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.factors = SlotLinear(inputs, width, fan_out=ORDERS * FACTOR * width)
        nn.init.normal_(self.factors.bias, std=1 / math.sqrt(width + 1))
        self.project = Linear(ORDERS * width, width, gain=math.sqrt(width))

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the projected, normalised poolings."""
        values, present = vector_slots(features)
        factors = where_present(present.unsqueeze(-1), self.factors(values), 1.0)
        first, second = slot_product(factors).chunk(ORDERS, -1)
        pooled = torch.cat((self._pool(first), self._pool(first * second)), -1)
        return vector_result(self.project(pooled), any_present(present))

    def _pool(self, product: Tensor) -> Tensor:
        pooled = product.reshape(*product.shape[:-1], self.width, FACTOR).sum(-1)
        return functional.normalize(signed_sqrt(pooled), dim=-1)

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``4 k D (D + 1) + 2 D^2 + D``."""
        return mfb_parameters([width] * inputs, width, middle=ORDERS * width, factor=FACTOR)

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``4 k D^2 + 2 D^2``; vectors, so ``tokens`` do not count."""
        return ORDERS * (FACTOR * inputs + 1) * width**2
