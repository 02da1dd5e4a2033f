"""Shared Perceiver: one reader for every modality and one crossmodal block for every pair, whatever their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionnas.feature import Feature
from fusionnas.layers import LayerNorm
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator
from fusionnas.operators.transformer import Block

LATENTS = 8


@register_operator("shared_perceiver")
class SharedPerceiver(FusionOperator):
    """k sequences (..., B, T_j, D) -> (..., B, 8, D): latents that have read every input, and each other.

    The same weights read every input and join every ordered pair, so the size does not depend on the number of inputs.
    Every input has its own mask; an absent one takes part in no pair.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z_i = self(read(l, x_i)); z = n(mean over i of z_i and over i != j of cross(z_i, z_j)), all shared",
        source="Liang et al., High-Modality Multimodal Transformer: Quantifying Modality & Interaction Heterogeneity "
        "for High-Modality Representation Learning, TMLR 2023, arXiv:2203.01311",
        departs="each modality's stem projects to width D (there, zeros pad the channels and a code names it); "
        "pairs are averaged, not concatenated, so nothing grows with their number; all latents are read, not the last; "
        "masks per modality, none shared",
        parameters="24·D² + 37·D",
        macs="(48·k + 2·T)·D² + 16·T·D + k²·b, b = 64·D² + 128·D",
        rank=10,
        absent="it is read by nobody and is in no pair",
    )
    sequence: ClassVar[bool] = True

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.latents = nn.Parameter(torch.randn(LATENTS, width))
        self.read, self.think, self.cross = Block(width), Block(width), Block(width)
        self.norm = LayerNorm(width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k sequences -> 8 tokens."""
        there = torch.stack([feature.mask.any(-1) for feature in features])
        own = [self._read(feature) for feature in features]
        real = torch.ones_like(own[0][..., 0], dtype=torch.bool)
        total = torch.zeros_like(own[0])
        for i, asking in enumerate(own):
            total = total + torch.where(there[i, ..., None, None], asking, 0.0)
            for j, asked in enumerate(own):
                if i != j:
                    both = (there[i] & there[j])[..., None, None]
                    total = total + torch.where(both, self.cross(asking, asked, real), 0.0)
        count = there.sum(0).clamp_min(1)[..., None, None]
        some = there.any(0)
        mask = some.unsqueeze(-1) & real
        values = torch.where(mask.unsqueeze(-1), self.norm(total / count**2), 0.0)
        return Feature(values, mask, torch.stack([feature.present for feature in features]).any(0))

    def _read(self, feature: Feature) -> Tensor:
        """One input as latents, (..., B, 8, D)."""
        values = torch.where(feature.mask.unsqueeze(-1), feature.values, 0.0)
        latents = torch.zeros_like(values[..., :1, :]) + self.latents.unsqueeze(-3)
        latents = self.read(latents, values, feature.mask)
        real = torch.ones_like(latents[..., 0], dtype=torch.bool)
        out: Tensor = self.think(latents, latents, real)
        return out

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """The same for any number of inputs."""
        return 3 * Block.count_parameters(width) + (LATENTS + 2) * width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """One reading and one self attention per input, one cross attention per ordered pair."""
        among = Block.count_macs(width, LATENTS, LATENTS)
        reading = sum(Block.count_macs(width, LATENTS, length) for length in tokens)
        return reading + inputs * among + inputs * (inputs - 1) * among
