"""BLOCK: bilinear fusion in block-term form, channels in chunks that fuse apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from fusionnas.feature import Feature
from fusionnas.layers import Linear, SlotLinear
from fusionnas.operators.base import (
    FusionOperator,
    OperatorFacts,
    any_present,
    register_operator,
    vector_result,
    vector_slots,
    where_present,
)
from fusionnas.operators.mutan import RANK, mutan_parameters, sum_of_products

CHUNKS = 4


@register_operator("block")
class Block(FusionOperator):
    """``V [y_1; ...; y_c] + d``, chunk by chunk ``y_q = sum_r prod_j (M_jqr u_jq + c_jqr)``: k vectors -> one.

    ``u_j = tanh(U_j x_j + b_j)`` is cut into 4 chunks (2 or 1 if 4 does not divide D). The factor of an absent
    input is 1, so k inputs give exactly the operator over those that are there.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = V [y_1; ...; y_c] + d; y_q = sum_{r=1..4} prod_j (M_jqr u_jq + c_jqr); u_j = tanh(U_j x_j + b_j)",
        source="Ben-younes et al., BLOCK: Bilinear Superdiagonal Fusion for Visual Question Answering and Visual "
        "Relationship Detection, AAAI 2019, arXiv:1902.00038",
        departs="k inputs, not two; 4 chunks, rank 4 and D channels throughout; tanh between the two maps of an input "
        "(two linear maps in a row are one); no signed root or norm; the factor of an absent input is 1",
        parameters="k·D·(D + 1) + 4·k·D·(D/c + 1) + D² + D, c = gcd(D, 4)",
        macs="k·D² + 4·k·D·D/c + D², c = gcd(D, 4)",
        rank=3,
        absent="its factor is 1",
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.chunks = math.gcd(width, CHUNKS)
        size = width // self.chunks
        self.reduce = SlotLinear(inputs, width, fan_out=width)
        # tanh leaves a unit normal a standard deviation of 0.63.
        self.factors = SlotLinear(inputs * self.chunks, size, fan_out=RANK * size, gain=1.6)
        self.project = Linear(width, width, gain=1 / math.sqrt(RANK))

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the projected chunks, each a sum of products of factors."""
        values, present = vector_slots(features)
        reduced = self.reduce(values).tanh()
        chunks = reduced.reshape(*reduced.shape[:-2], self.inputs * self.chunks, -1)
        factors = self.factors(chunks).reshape(*reduced.shape[:-1], self.chunks, -1)
        factors = where_present(present[..., None, None], factors, 1.0)
        mixed = sum_of_products(factors.transpose(-2, -3), RANK).flatten(-2)
        return vector_result(self.project(mixed), any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k D (D + 1)`` to reduce, ``4 k D (D / c + 1)`` for the factors, ``D^2 + D`` for the output."""
        return mutan_parameters([width] * inputs, width, middle=width, rank=RANK, chunks=math.gcd(width, CHUNKS))

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``k D^2 + 4 k D^2 / c + D^2``; vectors, so ``tokens`` do not count."""
        return (inputs + 1) * width**2 + RANK * inputs * width * (width // math.gcd(width, CHUNKS))
