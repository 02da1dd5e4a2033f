"""Multimodal transformer as an operator: every input in turn is reinforced by all others (MulT)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionnas.feature import Feature, pool
from fusionnas.layers import Linear
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator, vector_result
from fusionnas.operators.crossmodal import CrossmodalEncoder, encoder_parameters

LAYERS = 2


@register_operator("crossmodal_transformer")
class CrossmodalTransformer(FusionOperator):
    """k sequences (..., B, T_j, D) -> one vector (..., B, 1, D).

    ``m_i = memory_i(x_i + sum_{j != i} cross_j(x_i, x_j))``, ``z = sum_i W_i mean(m_i) + b``. What an absent input
    would add, as target or as source, is left out.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = sum_i W_i mean_t(m_i) + b; m_i = memory_i(x_i + sum_{j != i} cross_j(x_i, x_j)); cross_j two "
        "crossmodal layers (queries from x_i, keys and values from x_j), memory_i one layer of self-attention",
        source="Tsai et al., Multimodal Transformer for Unaligned Multimodal Language Sequences, ACL 2019, "
        "arXiv:1906.00295",
        departs="one crossmodal encoder per source, shared by its targets; streams are added, not concatenated; "
        "key-padding masks and masked means instead of an index-based mask and the last step; positions are the "
        "encoders' task. The network as published, with any widths, is MultimodalTransformer",
        parameters="k·(3·(12·D² + 13·D) + 4·D) + k·D² + D",
        macs="(k - 1)·24·T·D² + 4·(T² - Q)·D + 12·T·D² + 2·Q·D + k·D², Q the sum of T_j²",
        rank=9,
        absent="neither target nor source",
    )
    sequence: ClassVar[bool] = True

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.sources = nn.ModuleList(CrossmodalEncoder(width, LAYERS) for _ in range(inputs))
        self.memories = nn.ModuleList(CrossmodalEncoder(width, 1) for _ in range(inputs))
        # A mean over tokens that differ is smaller than each of them.
        self.project = Linear(inputs * width, width, gain=1.5)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k sequences -> the mean of each, as the others have reinforced it."""
        values = [torch.where(feature.mask.unsqueeze(-1), feature.values, 0.0) for feature in features]
        there = [feature.mask.any(-1) for feature in features]
        pooled = []
        for place, (target, memory) in enumerate(zip(features, self.memories, strict=True)):
            fused = values[place]
            for other, (source, encoder) in enumerate(zip(features, self.sources, strict=True)):
                if other != place:
                    stream = encoder(values[place], source.mask, values[other])
                    fused = fused + torch.where(there[other][..., None, None], stream, 0.0)
            fused = memory(fused, target.mask)
            pooled.append(_mean(fused, target))
        return vector_result(self.project(torch.cat(pooled, -1)), torch.stack(there).any(0))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """An encoder of two layers and a memory of one per input, and the output."""
        each = encoder_parameters(width, LAYERS) + encoder_parameters(width, 1)
        return inputs * (each + width**2) + width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """Every ordered pair's layers, every memory's layer, the output."""
        total, squares = sum(tokens), sum(t * t for t in tokens)
        pairs = LAYERS * (12 * (inputs - 1) * total * width**2 + 2 * (total**2 - squares) * width)
        return pairs + 12 * total * width**2 + 2 * squares * width + inputs * width**2


def _mean(values: Tensor, like: Feature) -> Tensor:
    return pool(like._replace(values=torch.where(like.mask.unsqueeze(-1), values, 0.0)))
