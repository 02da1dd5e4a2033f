"""Non-local gate: every token of the first input gathers what it needs from the tokens of the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from fusionnas.feature import Feature
from fusionnas.layers import Linear
from fusionnas.operators.attention import attend
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator


@register_operator("non_local_gate")
class NonLocalGate(FusionOperator):
    """``z = x_0 + sum_j softmax(Q x_0 (K_j x_j)^T / sqrt(D)) V_j x_j``: k sequences -> (..., B, T_0, D).

    The lightest operator that reads sequences of different lengths: one head, no norm, no feed-forward layer. An
    absent other input adds exactly nothing; where the first is absent, so is the output.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = x_0 + sum_{j>0} softmax(Q x_0 (K_j x_j)^T / sqrt(D)) V_j x_j",
        source="Wang et al., Non-local Neural Networks, CVPR 2018, arXiv:1711.07971; as gate between modalities in "
        "Wang et al., What Makes Training Multi-modal Classification Networks Hard?, CVPR 2020, arXiv:1905.12681, "
        "appendix",
        departs="scores are divided by sqrt(D) (the port of MultiBench does not); key-padding masks; any number of "
        "other inputs; no biases",
        parameters="D² + (k - 1)·2·D²",
        macs="T0·D² + (T - T0)·2·D² + 2·T0·(T - T0)·D, T tokens in all, T0 of input 0",
        rank=7,
        absent="its terms are left out; without the first, so is the output",
    )
    ordered: ClassVar[bool] = True
    sequence: ClassVar[bool] = True

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.query = Linear(width, width, bias=False)
        self.sources = nn.ModuleList(Linear(width, 2 * width, bias=False) for _ in range(inputs - 1))

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k sequences -> the first one, with what it gathered."""
        target, real = features[0], features[0].mask.unsqueeze(-1)
        fused = torch.where(real, target.values, 0.0)
        query = self.query(fused)
        for source, key_value in zip(features[1:], self.sources, strict=True):
            key, value = key_value(torch.where(source.mask.unsqueeze(-1), source.values, 0.0)).chunk(2, -1)
            fused = fused + attend(query, key, value, source.mask)
        return Feature(torch.where(real, fused, 0.0), target.mask, target.present)

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``D^2`` for queries, ``2 D^2`` per other input."""
        return (2 * inputs - 1) * width**2

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """Queries, keys and values, and the two products of attention."""
        first, others = tokens[0], sum(tokens[1:])
        return (first + 2 * others) * width**2 + 2 * first * others * width
