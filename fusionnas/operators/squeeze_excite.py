"""Squeeze-and-excite exchange: the pooled inputs say together how loud each channel of the first one is (MMTM)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from fusionnas.feature import Feature, pool
from fusionnas.layers import Linear
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator


@register_operator("squeeze_excite")
class SqueezeExcite(FusionOperator):
    """``z_t = 2 sigmoid(E relu(S [m_1; ...; m_k] + b) + c) * x_0t``, m the masked means: k sequences -> the first.

    The exchange recalibrates every modality by all of them: a node gives one of the k, so k nodes, each with another
    input first, are the whole exchange. An absent other input enters as zeros.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z_t = 2 sigmoid(E relu(S [m_1; ...; m_k] + b) + c) * x_0t; m_j the mean of x_j over its tokens",
        source="Joze et al., MMTM: Multimodal Transfer Module for CNN Fusion, CVPR 2020, arXiv:1911.08670, equations "
        "2-6",
        departs="one target per node, k nodes are the exchange; what it gives goes on to later nodes, not back into "
        "the encoder; D channels squeezed to, whatever the number of inputs; masked means; absent inputs are zeros",
        parameters="k·D² + D + D² + D",
        macs="k·D² + D²",
        rank=7,
        absent="zeros; without the first, so is the output",
    )
    ordered: ClassVar[bool] = True
    sequence: ClassVar[bool] = True

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.squeeze, self.excite = Linear(inputs * width, width), Linear(width, width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k sequences -> the first one, its channels made louder or quieter."""
        target, real = features[0], features[0].mask.unsqueeze(-1)
        joint = self.squeeze(torch.cat([pool(feature) for feature in features], -1)).relu()
        gate = 2 * self.excite(joint).sigmoid().unsqueeze(-2)
        return Feature(torch.where(real, gate * target.values, 0.0), target.mask, target.present)

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k D^2 + D`` to squeeze, ``D^2 + D`` to excite."""
        return (inputs + 1) * width**2 + 2 * width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``k D^2 + D^2``; means are no matrix products."""
        return (inputs + 1) * width**2
