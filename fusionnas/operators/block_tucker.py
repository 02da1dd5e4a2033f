"""Block Tucker fusion: channels in chunks of eight, each with a full core of its own."""

from __future__ import annotations

import functools
import math
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
    vector_result,
    vector_slots,
)
from fusionnas.operators.tensor import outer_product, reorder_outer
from fusionnas.operators.tucker import or_unit, tucker_parameters

SIZE = 8


@register_operator("block_tucker")
class BlockTucker(FusionOperator):
    """``V [y_1; ...; y_c] + d``, ``y_q = C_q u_1q ... u_kq + c_q`` with a full core per chunk q: k vectors -> one.

    ``u_j = U_j x_j + b_j`` is cut into chunks of 8 channels (4, 2 or 1 if 8 does not divide D). An absent input
    counts as the first unit vector of each chunk.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = V [y_1; ...; y_c] + d; y_q = C_q x_1 u_1q ... x_k u_kq + c_q; u_j = U_j x_j + b_j; x_j contracts "
        "dimension j of the core C_q",
        source="Ben-younes et al., BLOCK: Bilinear Superdiagonal Fusion for Visual Question Answering and Visual "
        "Relationship Detection, AAAI 2019, arXiv:1902.00038, block-term decomposition with full cores",
        departs="up to 4 inputs, not two; chunks of 8 channels, whatever their number; no signed root or norm; an "
        "absent input counts as the first unit vector of each chunk",
        parameters="k·D·(D + 1) + D·s^k + D + D² + D, s = gcd(D, 8)",
        macs="k·D² + D·s^k + D², s = gcd(D, 8)",
        rank=3,
        absent="the first unit vector: what is left is a slice of the core",
    )
    inputs_range: ClassVar[tuple[int, int | None]] = (2, 4)

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.size = math.gcd(width, SIZE)
        self.reduce = SlotLinear(inputs, width, fan_out=width)
        self.cores = SlotLinear(width // self.size, self.size**inputs, fan_out=self.size)
        self.project = Linear(width, width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the projected contractions of the cores."""
        values, present = vector_slots(features)
        reduced = self.reduce(values)
        chunks = or_unit(reduced.reshape(*reduced.shape[:-1], -1, self.size), present.unsqueeze(-1))
        outer = functools.reduce(outer_product, chunks.unbind(-3))
        return vector_result(self.project(self.cores(outer).flatten(-2)), any_present(present))

    @classmethod
    def reorder(cls, name: str, value: Tensor, order: Sequence[int]) -> Tensor | None:
        """The columns of every core are places of a k-dimensional tensor, the last input slowest."""
        return reorder_outer(value, order) if name == "cores.weight" else None

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k D (D + 1)`` to reduce, ``D s^k + D`` for the cores, ``D^2 + D`` for the output."""
        return tucker_parameters([width] * inputs, width, middle=width, chunks=width // math.gcd(width, SIZE))

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``k D^2 + D s^k + D^2``; vectors, so ``tokens`` do not count."""
        return (inputs + 1) * width**2 + width * math.prod([math.gcd(width, SIZE)] * inputs)
