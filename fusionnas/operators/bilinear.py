"""Bilinear fusion: every product of a channel of one input and a channel of another has a weight of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

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


@register_operator("bilinear")
class Bilinear(FusionOperator):
    """``sum_{i<j} x_i^T W_ij x_j + b``: k vectors (..., B, 1, D) -> (..., B, 1, D), the sum over all pairs.

    A pair of which one is absent adds nothing; a sample with a single input has no pair, and its output is ``b``.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = sum_{i<j} x_i^T W_ij x_j + b, W_ij of D x D x D",
        source="Liang et al., Foundations and Trends in Multimodal Machine Learning, 2022, arXiv:2209.03430, "
        "bilinear fusion",
        departs="the sum over all pairs for more than two inputs; weights have variance 1 / (number of products)",
        parameters="k·(k - 1)/2·D³ + D",
        macs="k·(k - 1)/2·D³",
        rank=3,
        absent="its pairs are left out",
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.pairs = Linear(count_pairs(inputs) * width**2, width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the weighted sum of the products of their pairs."""
        values, present = vector_slots(features)
        return vector_result(self.pairs(pair_products(values)), any_present(present))

    @classmethod
    def reorder(cls, name: str, value: Tensor, order: Sequence[int]) -> Tensor | None:
        """One block of columns per pair."""
        return reorder_pairs(value, order) if name == "pairs.weight" else None

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k (k - 1) / 2 D^3 + D``."""
        return count_pairs(inputs) * width**3 + width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``k (k - 1) / 2 D^3``; vectors, so ``tokens`` do not count."""
        return count_pairs(inputs) * width**3


def count_pairs(inputs: int) -> int:
    """Pairs of two different inputs."""
    return inputs * (inputs - 1) // 2


def pairs_of(inputs: int) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, by j: those with a further input come last."""
    return [(i, j) for j in range(inputs) for i in range(j)]


def pair_products(values: Tensor) -> Tensor:
    """Vectors (..., k, D) -> all products of two channels of each pair of them, (..., k (k - 1) / 2 D^2)."""
    products = [values[..., i, :, None] * values[..., j, None, :] for i, j in pairs_of(values.shape[-2])]
    return torch.cat([product.flatten(-2) for product in products], -1)


def reorder_pairs(weight: Tensor, order: Sequence[int]) -> Tensor:
    """Weights (D', pairs D^2) of :func:`pair_products`, for inputs of which the i-th was the ``order[i]``-th."""
    pairs = pairs_of(len(order))
    width = round((weight.shape[1] / len(pairs)) ** 0.5)
    blocks = dict(zip(pairs, weight.reshape(-1, len(pairs), width, width).unbind(1), strict=True))
    blocks |= {(j, i): block.transpose(1, 2) for (i, j), block in blocks.items()}
    return torch.cat([blocks[order[i], order[j]].flatten(1) for i, j in pairs], 1)
