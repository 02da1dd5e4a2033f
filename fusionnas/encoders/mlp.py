"""Encoder mlp: a residual perceptron per token, for tables and vectors."""

from __future__ import annotations

from typing import ClassVar

from fusionnas.encoders.base import EncoderFacts, EncoderLayer, register_encoder, with_values
from fusionnas.encoders.blocks import Perceptron
from fusionnas.feature import Feature, InputSpec
from fusionnas.layers import LayerNorm


@register_encoder("mlp")
class Mlp(EncoderLayer):
    """``norm(x + V gelu(W x + b) + c)`` per token, (B, T, D) -> (B, T, D)."""

    facts: ClassVar[EncoderFacts] = EncoderFacts(
        summary="residual perceptron per token",
        source="Gorishniy et al., Revisiting Deep Learning Models for Tabular Data, NeurIPS 2021, arXiv:2106.11959",
        departs="LayerNorm after the sum instead of BatchNorm before the block; GELU",
        kinds=("tabular", "vector"),
        view={"tabular": "plain", "vector": "plain"},
    )

    def __init__(self, width: int, spec: InputSpec) -> None:
        super().__init__(width, spec)
        self.block, self.norm = Perceptron(width), LayerNorm(width)

    def forward(self, feature: Feature) -> Feature:
        """The next level."""
        return with_values(feature, self.norm(feature.values + self.block(feature.values)))
