"""Tucker fusion: a bilinear map in few channels, with a full core between projections of inputs and output."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import ClassVar

import torch
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
    where_present,
)
from fusionnas.operators.tensor import outer_product, reorder_outer

MIDDLE = 16


@register_operator("tucker")
class Tucker(FusionOperator):
    """``V (C (U_1 x_1 + b_1) ... (U_k x_k + b_k) + c) + d`` with a full core C: k vectors (..., B, 1, D) -> one.

    The core has q^k x q entries, q = min(D, 16). An absent input counts as the first unit vector in its q channels:
    k inputs give exactly the operator over those that are there, whose core is a slice of this one.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = V (C x_1 u_1 ... x_k u_k + c) + d; u_j = U_j x_j + b_j; x_j contracts dimension j of the core C",
        source="Tucker, Some mathematical notes on three-mode factor analysis, Psychometrika 1966; as fusion in "
        "Ben-younes et al., MUTAN, ICCV 2017, arXiv:1705.06676, equation 4",
        departs="up to 4 inputs, not two; 16 channels at most before and after the core; an absent input counts as the "
        "first unit vector",
        parameters="k·q·(D + 1) + q^(k + 1) + q + q·D + D, q = min(D, 16)",
        macs="k·q·D + q^(k + 1) + q·D, q = min(D, 16)",
        rank=3,
        absent="the first unit vector: what is left is a slice of the core",
    )
    inputs_range: ClassVar[tuple[int, int | None]] = (2, 4)

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        middle = min(width, MIDDLE)
        self.reduce = SlotLinear(inputs, width, fan_out=middle)
        self.core = Linear(middle**inputs, middle)
        self.project = Linear(middle, width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the projected contraction of the core."""
        values, present = vector_slots(features)
        reduced = or_unit(self.reduce(values), present)
        return vector_result(
            self.project(self.core(functools.reduce(outer_product, reduced.unbind(-2)))), any_present(present)
        )

    @classmethod
    def reorder(cls, name: str, value: Tensor, order: Sequence[int]) -> Tensor | None:
        """The columns of the core are places of a k-dimensional tensor, the last input slowest."""
        return reorder_outer(value, order) if name == "core.weight" else None

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k q (D + 1)`` to reduce, ``q^(k + 1) + q`` for the core, ``q D + D`` for the output."""
        return tucker_parameters([width] * inputs, width, middle=min(width, MIDDLE))

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``k q D + q^(k + 1) + q D``; vectors, so ``tokens`` do not count."""
        middle = min(width, MIDDLE)
        return int((inputs + 1) * middle * width + middle ** (inputs + 1))


def or_unit(values: Tensor, present: Tensor) -> Tensor:
    """Values (..., k, q) where ``present`` (..., k), elsewhere the first unit vector."""
    unit = torch.zeros_like(values)
    unit[..., 0] = 1
    return where_present(present.unsqueeze(-1), values, unit)


def tucker_parameters(widths: Sequence[int], outputs: int, *, middle: int, chunks: int = 1) -> int:
    """Parameters for inputs of these widths and ``middle`` channels, in ``chunks`` that have a core each."""
    size = middle // chunks
    cores = chunks * (math.prod([size] * len(widths)) + 1) * size
    return middle * sum(width + 1 for width in widths) + cores + (middle + 1) * outputs
