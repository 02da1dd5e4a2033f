"""Multiplicative interaction, matrix form: what inputs say alone and every product of two channels of two inputs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

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
from fusionnas.operators.bilinear import count_pairs, pair_products, reorder_pairs


@register_operator("multiplicative_interaction")
class MultiplicativeInteraction(FusionOperator):
    """``sum_{i<j} x_i^T W_ij x_j + sum_j U_j x_j + b``: k vectors (..., B, 1, D) -> (..., B, 1, D).

    One input sets the matrix that acts on the other (a hypernetwork). What is absent adds nothing. Both sums start
    with variance 1/2.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = sum_{i<j} x_i^T W_ij x_j + sum_j U_j x_j + b, W_ij of D x D x D",
        source="Jayakumar et al., Multiplicative Interactions and Where to Find Them, ICLR 2020, matrix form",
        departs="the sum over all pairs for more than two inputs; products of three inputs are left to the operator "
        "tensor",
        parameters="k·(k - 1)/2·D³ + k·D² + D",
        macs="k·(k - 1)/2·D³ + k·D²",
        rank=3,
        absent="its term and its pairs are left out",
    )

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.pairs = Linear(count_pairs(inputs) * width**2, width, bias=False, gain=0.5**0.5)
        self.terms = Linear(inputs * width, width, gain=0.5**0.5)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the weighted sums of their channels and of the products of their pairs."""
        values, present = vector_slots(features)
        return vector_result(self.pairs(pair_products(values)) + self.terms(values.flatten(-2)), any_present(present))

    @classmethod
    def reorder(cls, name: str, value: Tensor, order: Sequence[int]) -> Tensor | None:
        """One block of columns of ``pairs`` per pair."""
        return reorder_pairs(value, order) if name == "pairs.weight" else None

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k (k - 1) / 2 D^3 + k D^2 + D``."""
        return matrix_parameters([width] * inputs, width)

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``k (k - 1) / 2 D^3 + k D^2``; vectors, so ``tokens`` do not count."""
        return count_pairs(inputs) * width**3 + inputs * width**2


def matrix_parameters(widths: Sequence[int], outputs: int) -> int:
    """Parameters of the matrix form for inputs of these widths."""
    pairs = sum(first * second for first, second in itertools.combinations(widths, 2))
    return (pairs + sum(widths) + 1) * outputs
