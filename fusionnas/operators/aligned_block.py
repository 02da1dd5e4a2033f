"""Aligned block: modalities that share a clock are joined step by step, then through time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.feature import Feature
from fusionnas.layers import LayerNorm, Linear, per_member
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator

TAPS = (-1, 0, 1)


@register_operator("aligned_block")
class AlignedBlock(FusionOperator):
    """k sequences (..., B, T_j, D) on one clock -> (..., B, T_0, D) with the mask and the presence of input 0.

    Step t of the first input meets step t of the others; where another has no such step, nothing is added. The sum goes
    on unchanged beside a dense and a convolutional branch: with both silent, a single input passes as it is.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="r_t = x_0t + sum_j W_j x_jt; z = m(r + V gelu(U n(r)) + P dw3(n(r))), dw3 a depthwise convolution",
        source="Xu et al., MUFASA: Multimodal Fusion Architecture Search for Electronic Health Records, AAAI 2021, "
        "arXiv:2102.02340, the fusion block of the found architecture",
        departs="inputs are projected to one width and added, not concatenated and padded; masks before "
        "and after every layer (there are none); GELU instead of ReLU",
        parameters="(k - 1)·D² + 5·D² + 11·D",
        macs="(k + 4)·T0·D², T0 tokens of input 0",
        rank=9,
        absent="its terms are left out; without the first, so is the output",
    )
    ordered: ClassVar[bool] = True
    sequence: ClassVar[bool] = True

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.sources = nn.ModuleList(Linear(width, width, bias=False) for _ in range(inputs - 1))
        self.norm_in, self.norm = LayerNorm(width), LayerNorm(width)
        self.hidden, self.project = Linear(width, 2 * width), Linear(2 * width, width)
        self.taps = nn.Parameter(torch.randn(len(TAPS), width) / len(TAPS) ** 0.5)
        self.mix = Linear(width, width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k sequences -> the first one, joined by the others step by step."""
        target = features[0]
        real = target.mask.unsqueeze(-1)
        total = torch.where(real, target.values, 0.0)
        for feature, source in zip(features[1:], self.sources, strict=True):
            total = total + torch.where(real, source(_steps(feature, target.values.shape[-2])), 0.0)
        normal = torch.where(real, self.norm_in(total), 0.0)
        dense = self.project(functional.gelu(self.hidden(normal)))
        out = self.norm(total + dense + self.mix(self._convolved(normal)))
        return Feature(torch.where(real, out, 0.0), target.mask, target.present)

    def _convolved(self, x: Tensor) -> Tensor:
        """Each channel with its own taps over the step before, this one, and the next; zeros beyond the ends."""
        length = x.shape[-2]
        padded = functional.pad(x, (0, 0, 1, 1))
        shifted = [padded.narrow(-2, 1 + offset, length) for offset in TAPS]
        out = torch.zeros_like(x)
        for place, tokens in enumerate(shifted):
            out = out + tokens * per_member(self.taps[..., place, :], x)
        return out

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """Sources ``(k - 1) D^2``, dense ``4 D^2 + 3 D``, convolution ``D^2 + 4 D``, norms ``4 D``."""
        return (inputs + 4) * width**2 + 11 * width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """Products per step of the first input; depthwise taps are elementwise."""
        return (inputs + 4) * tokens[0] * width**2


def _steps(feature: Feature, length: int) -> Tensor:
    """The first ``length`` steps, (..., B, length, D); zeros where there is none."""
    values = torch.where(feature.mask.unsqueeze(-1), feature.values, 0.0)
    missing = length - values.shape[-2]
    return values[..., :length, :] if missing <= 0 else functional.pad(values, (0, 0, 0, missing))
