"""Joint transformer: very early fusion, one transformer over the tokens of all inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionnas.feature import Feature
from fusionnas.layers import LayerNorm, per_member
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator, vector_result
from fusionnas.operators.transformer import Block

DEPTH = 2


@register_operator("joint_transformer")
class JointTransformer(FusionOperator):
    """k sequences (..., B, T_j, D) -> (..., B, 1, D): the token that all layers let read everything.

    Read at level 0, this is a network without unimodal encoders: every layer mixes modalities. Padding is told by each
    input's mask, never by its values, and never read.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = n(h_0), h = block(block([c; x_1 + e_1; ...; x_k + e_k])), block a pre-norm transformer layer",
        source="Kim et al., ViLT: Vision-and-Language Transformer Without Convolution or Region Supervision, "
        "ICML 2021, arXiv:2102.03334",
        departs=f"{DEPTH} blocks, feed-forward 2 D wide with GELU, no biases in attention, no tanh pooler; "
        "one leading token for all inputs, not one per modality; positions are the stems' task; patches are masked by "
        "their mask (there, a black patch is padding) and none is dropped at random",
        parameters="16·D² + (21 + k)·D",
        macs="2·(8·N·D² + 2·N²·D), N = 1 + T",
        rank=10,
        absent="its tokens are not read",
    )
    sequence: ClassVar[bool] = True

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.kinds = nn.Parameter(torch.randn(inputs, width) * 0.1)
        self.reader = nn.Parameter(torch.randn(width) * 0.1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(DEPTH))
        self.norm = LayerNorm(width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k sequences -> one vector; no token real -> zeros."""
        hidden, mask = self._hidden(features)
        present = torch.stack([feature.present for feature in features]).any(0)
        some = mask[..., 1:].any(-1)
        out = vector_result(self.norm(hidden)[..., 0, :], some)
        return out._replace(present=present)

    def contextual(self, features: Sequence[Feature]) -> list[Feature]:
        """Every input's tokens after the last block, (..., B, T_j, D), for alignment maps and masked modelling."""
        hidden, _ = self._hidden(features)
        tokens = self.norm(hidden)[..., 1:, :].split([feature.values.shape[-2] for feature in features], -2)
        return [
            feature._replace(values=torch.where(feature.mask.unsqueeze(-1), values, 0.0))
            for feature, values in zip(features, tokens, strict=True)
        ]

    def _hidden(self, features: Sequence[Feature]) -> tuple[Tensor, Tensor]:
        """(..., B, 1 + T, D) after the last block, and its mask."""
        parts = [
            torch.where(f.mask.unsqueeze(-1), f.values + per_member(self.kinds[..., place, :], f.values), 0.0)
            for place, f in enumerate(features)
        ]
        first = parts[0][..., :1, :]
        reader = torch.zeros_like(first) + per_member(self.reader, first)
        hidden = torch.cat((reader, *parts), -2)
        mask = torch.cat((torch.ones_like(features[0].mask[..., :1]), *(f.mask for f in features)), -1)
        for block in self.blocks:
            hidden = block(hidden, hidden, mask)
        return hidden, mask

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """Blocks, one vector per input, the reading token, the last norm."""
        return DEPTH * Block.count_parameters(width) + (inputs + 3) * width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """Self attention over all tokens and the reading one."""
        length = 1 + sum(tokens)
        return DEPTH * Block.count_macs(width, length, length)
