"""Stem: one modality's preprocessed input -> level 0, its projection to width D."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fusionnas.encoders.base import with_values
from fusionnas.encoders.blocks import positions
from fusionnas.feature import Feature, InputSpec
from fusionnas.layers import Dropout, Linear

POSITION_SCALE = 0.5


class Stem(nn.Module):
    """Floats (B, T, R) through a linear map, ids (B, T) through an embedding; -> (B, T, D), zero where masked.

    Standardised inputs give features of unit scale. There is no normalisation: it would take the size of an input
    with few channels away. Inputs of several tokens get sinusoidal positions times a learned scale.

    Args:
        spec: form of the input.
        width: channels D.
        dropout: rate on the raw input channels (floats) or on the embedded channels (ids).
    """

    def __init__(self, spec: InputSpec, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.spec, self.dropout = spec, Dropout(dropout)
        if spec.vocabulary:
            self.embedding = nn.Embedding(spec.vocabulary, width, padding_idx=0)
        else:
            self.project = Linear(spec.width, width)
        if spec.tokens > 1:
            self.position_scale = nn.Parameter(torch.tensor(POSITION_SCALE))
            half = (width + 1) // 2
            self.frequencies: Tensor
            frequencies = torch.exp(torch.arange(half, dtype=torch.float32) * (-math.log(10_000.0) / half))
            self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, feature: Feature) -> Feature:
        """The input as level 0; T may be larger than ``spec.tokens``."""
        if self.spec.vocabulary:
            values = self.dropout(self.embedding(feature.values))
        else:
            values = self.project(self.dropout(feature.values))
        if self.spec.tokens > 1:
            places = positions(values.shape[-2], self.frequencies, values)
            values = values + places * self.position_scale
        return with_values(feature, values)
