"""Modality shift: the other inputs move the first one, by no more than its own length (MAG)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionnas.feature import Feature
from fusionnas.layers import LayerNorm, SlotLinear
from fusionnas.operators.base import (
    FusionOperator,
    OperatorFacts,
    any_present,
    register_operator,
    vector_result,
    vector_slots,
    where_present,
)

BETA = 1.0
SMALL = 1e-6


class Shift(nn.Module):
    """What moves a first vector by others, and by how much: shared with the operator that goes word by word."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.gates = SlotLinear(inputs - 1, 2 * width, fan_out=width)
        self.shifts = SlotLinear(inputs - 1, width, fan_out=width)
        self.norm = LayerNorm(width)

    def shifted(self, first: Tensor, others: Tensor, present: Tensor) -> Tensor:
        """``first`` (..., D) moved by ``others`` (..., k - 1, D); ``present`` (..., k): which of them all are there."""
        both = torch.cat((others, first.unsqueeze(-2).expand_as(others)), -1)
        shifts = self.gates(both).relu() * self.shifts(others)
        shift = where_present(present[..., 1:, None], shifts).sum(-2)
        share = where_present(present[..., :1], bounded_share(first, shift), 1.0)
        return self.norm(first + share * shift)  # type: ignore[no-any-return]

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``3 (k - 1) D^2 + 2 (k - 1) D + 2 D``."""
        return shift_parameters(width, [width] * (inputs - 1))


@register_operator("modality_shift")
class ModalityShift(Shift, FusionOperator):
    """``norm(x_0 + a h)`` where ``h = sum_{j>0} relu(G_j [x_j; x_0] + c_j) * (W_j x_j + b_j)``: k vectors -> one.

    ``a = min(|x_0| / |h|, 1)`` bounds the shift by the length of what is shifted. An absent other input shifts
    nothing. Where the first input is absent there is no length to bound by: the output is ``norm(h)``.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = norm(x_0 + a h); h = sum_{j>0} relu(G_j [x_j; x_0] + c_j) * (W_j x_j + b_j); "
        "a = min(|x_0| / |h|, 1); norm is LayerNorm",
        source="Rahman et al., Integrating Multimodal Information in Large Pretrained Transformers, ACL 2020, "
        "arXiv:1908.05787",
        departs="on vectors (mag goes word by word); any number of other inputs; an absent one shifts by exactly 0 "
        "(the authors' code shifts by the product of two biases); norm(h) where the first input is absent; no dropout; "
        "beta = 1",
        parameters="(k - 1)·(2·D² + D + D² + D) + 2·D",
        macs="(k - 1)·3·D²",
        rank=6,
        absent="shifts by 0; without the first, the normalised shift is left",
    )
    ordered: ClassVar[bool] = True

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the first one, shifted by the others."""
        values, present = vector_slots(features)
        return vector_result(self.shifted(values[..., 0, :], values[..., 1:, :], present), any_present(present))

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``3 (k - 1) D^2``; vectors, so ``tokens`` do not count."""
        return 3 * (inputs - 1) * width**2


def bounded_share(first: Tensor, shift: Tensor) -> Tensor:
    """``min(|first| / |shift|, 1)``, (..., D) and (..., D) -> (..., 1); finite, as its gradient, at lengths of 0.

    Lengths are taken in float32 or better: the squares of half-precision numbers overflow.
    """
    precise = torch.promote_types(first.dtype, torch.float32)
    length, reach = (torch.linalg.vector_norm(x.to(precise), dim=-1, keepdim=True) for x in (first, shift))
    share: Tensor = (BETA * length / (reach + SMALL)).clamp(max=1)
    return share.to(first.dtype)


def shift_parameters(first: int, others: Sequence[int]) -> int:
    """Parameters of the shift of a vector of width ``first`` by vectors of the widths ``others``."""
    return sum((other + first + 1) * first + (other + 1) * first for other in others) + 2 * first
