"""Modality shift word by word: at each token of the first input, what the others hold there moves it (MAG)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from fusionnas.feature import Feature
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator
from fusionnas.operators.modality_shift import Shift
from fusionnas.operators.steps import followed


@register_operator("mag")
class Mag(Shift, FusionOperator):
    """``norm(x_0t + a_t h_t)`` at every token t of the first input: k sequences (..., B, T_j, D) -> (..., B, T_0, D).

    Shift and bound are those of the operator modality_shift. What an absent input, or one that lacks the step, would
    shift is exactly 0. A vector shifts every token; where the first input has one token, the others' means shift it.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z_t = norm(x_0t + a_t h_t); h_t = sum_{j>0} relu(G_j [x_jt; x_0t] + c_j) * (W_j x_jt + b_j); "
        "a_t = min(|x_0t| / |h_t|, 1); norm is LayerNorm",
        source="Rahman et al., Integrating Multimodal Information in Large Pretrained Transformers, ACL 2020, "
        "arXiv:1908.05787",
        departs="any number of other inputs, of any lengths; padded and absent steps shift by exactly 0 (the authors' "
        "code has no mask and shifts by the product of two biases); no dropout; beta = 1",
        parameters="(k - 1)·(2·D² + D + D² + D) + 2·D",
        macs="T0·(k - 1)·3·D², T0 tokens of input 0",
        rank=6,
        absent="shifts by 0; without the first, so is the output",
    )
    ordered: ClassVar[bool] = True
    sequence: ClassVar[bool] = True

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k sequences -> the first one, each token shifted by what the others hold there."""
        target, real = features[0], features[0].mask.unsqueeze(-1)
        others, there = followed(target, features[1:])
        first = torch.where(real, target.values, 0.0)
        shifted = self.shifted(first, others, torch.cat((real, there), -1))
        return Feature(torch.where(real, shifted, 0.0), target.mask, target.present)

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``3 (k - 1) D^2`` per token of the first input."""
        return tokens[0] * 3 * (inputs - 1) * width**2
