"""Encoder attention: a pre-norm transformer layer with a key-padding mask."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from fusionnas.encoders.base import EncoderFacts, EncoderLayer, register_encoder, with_values
from fusionnas.encoders.blocks import Perceptron
from fusionnas.feature import Feature, InputSpec
from fusionnas.layers import LayerNorm, Linear


@register_encoder("attention")
class Attention(EncoderLayer):
    """``h = x + O attend(n(x))``, then ``norm(h + ffn(m(h)))``, (B, T, D) -> (B, T, D); masked tokens are no keys.

    Reads bins, observation tokens (``view: observations``), patches, frames and ids alike; the stem gives positions.
    """

    facts: ClassVar[EncoderFacts] = EncoderFacts(
        summary="pre-norm transformer layer over all real tokens",
        source="Vaswani et al., Attention Is All You Need, NeurIPS 2017, arXiv:1706.03762; pre-norm: Xiong et al., "
        "2020, arXiv:2002.04745",
        departs="no biases in attention; feed-forward 2 D wide, GELU; LayerNorm after the layer too",
        kinds=("timeseries", "image", "audio", "text", "codes"),
        view={"timeseries": "bins", "image": "patches", "audio": "frames", "text": "tokens", "codes": "tokens"},
    )

    def __init__(self, width: int, spec: InputSpec) -> None:
        super().__init__(width, spec)
        self.heads = next(heads for heads in (4, 2, 1) if width % heads == 0)
        self.norm_in, self.norm_ffn, self.norm = LayerNorm(width), LayerNorm(width), LayerNorm(width)
        self.ask, self.answer = Linear(width, 3 * width, bias=False), Linear(width, width, bias=False)
        self.block = Perceptron(width)

    def forward(self, feature: Feature) -> Feature:
        """The next level."""
        hidden = feature.values + self.answer(self._attend(self.norm_in(feature.values), feature.mask))
        return with_values(feature, self.norm(hidden + self.block(self.norm_ffn(hidden))))

    def _attend(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, length, width = x.shape
        split = self.ask(x).reshape(batch, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        out = functional.scaled_dot_product_attention(query, key, value, mask[:, None, None, :])
        # Where no token is real there is nothing to attend to; what the kernel gives there differs by device.
        return torch.where(mask.unsqueeze(-1), out.transpose(1, 2).reshape(x.shape), 0.0)
