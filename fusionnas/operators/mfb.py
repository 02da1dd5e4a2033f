"""Factorised bilinear pooling: products of projections, pooled in groups, then normalised."""

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

FACTOR = 2


@register_operator("mfb")
class Mfb(FusionOperator):
    """``V n(pool(prod_j (U_j x_j + b_j))) + c``: k vectors (..., B, 1, D) -> (..., B, 1, D); an absent factor is 1.

    The product has 2 D channels; ``pool`` adds them two by two; ``n`` takes the signed square root and divides by the
    Euclidean length.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = V n(pool(prod_j (U_j x_j + b_j))) + c; pool adds 2 channels each; n(u) = r / |r|, "
        "r = sign(u) sqrt(|u|)",
        source="Yu et al., Multi-modal Factorized Bilinear Pooling with Co-attention Learning for Visual Question "
        "Answering, ICCV 2017, arXiv:1708.01471",
        departs="k inputs, not two; D pooled channels, 2 in a group; the factor of an absent input is 1; the root is "
        "sqrt(relu(u)) - sqrt(relu(-u)), whose gradient at 0 is 0 and not NaN; V starts sqrt(D) times larger to make "
        "up for the division by the length; biases start at random, as all factors at 0 have no direction",
        parameters="2·k·D·(D + 1) + D² + D",
        macs="2·k·D² + D²",
        rank=3,
        absent="its factor is 1",
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.factors = SlotLinear(inputs, width, fan_out=FACTOR * width)
        nn.init.normal_(self.factors.bias, std=1 / math.sqrt(width + 1))
        self.project = Linear(width, width, gain=math.sqrt(width))

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the projected, normalised, pooled product of their factors."""
        values, present = vector_slots(features)
        factors = where_present(present.unsqueeze(-1), self.factors(values), 1.0)
        product = slot_product(factors)
        pooled = product.reshape(*product.shape[:-1], self.width, FACTOR).sum(-1)
        return vector_result(self.project(functional.normalize(signed_sqrt(pooled), dim=-1)), any_present(present))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``2 k D (D + 1) + D^2 + D``."""
        return mfb_parameters([width] * inputs, width, middle=width, factor=FACTOR)

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``2 k D^2 + D^2``; vectors, so ``tokens`` do not count."""
        return (FACTOR * inputs + 1) * width**2


def signed_sqrt(x: Tensor) -> Tensor:
    """``sign(x) sqrt(|x|)``; all derivatives at 0 are 0."""
    return x.sign() * torch.where(x == 0, 1.0, x.abs()).sqrt()


def mfb_parameters(widths: Sequence[int], outputs: int, *, middle: int, factor: int) -> int:
    """Parameters for inputs of these widths, ``middle`` pooled channels, groups of ``factor``."""
    return factor * middle * sum(width + 1 for width in widths) + (middle + 1) * outputs
