"""Encoder tcn: dilated causal convolutions with a residual sum."""

from __future__ import annotations

from typing import ClassVar

from torch.nn import functional

from fusionnas.encoders.base import EncoderFacts, EncoderLayer, register_encoder, with_values, zero_masked
from fusionnas.encoders.blocks import neighbours
from fusionnas.feature import Feature, InputSpec
from fusionnas.layers import LayerNorm, Linear

NEAR, FAR = (-2, -1, 0), (-6, -3, 0)


@register_encoder("tcn")
class Tcn(EncoderLayer):
    """``norm(x + conv(gelu(conv(x))))``, kernels of 3 with dilations 1 and 3: each step sees the 9 up to itself.

    (B, T, D) -> (B, T, D). Masked steps count as zeros in both convolutions, as those before the beginning do.
    """

    facts: ClassVar[EncoderFacts] = EncoderFacts(
        summary="two dilated causal convolutions over time, residual",
        source="Bai et al., An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence "
        "Modeling, 2018, arXiv:1803.01271",
        departs="dilations 1 and 3 within each layer instead of growing over layers, because layers are chosen one by "
        "one; LayerNorm after the sum instead of weight normalisation; GELU; masks",
        kinds=("timeseries", "audio", "text", "codes"),
        view={"timeseries": "bins", "audio": "frames", "text": "tokens", "codes": "tokens"},
    )

    def __init__(self, width: int, spec: InputSpec) -> None:
        super().__init__(width, spec)
        self.near, self.far = Linear(3 * width, width), Linear(3 * width, width)
        self.norm = LayerNorm(width)

    def forward(self, feature: Feature) -> Feature:
        """The next level."""
        hidden = functional.gelu(self.near(neighbours(feature.values, NEAR)))
        out = self.far(neighbours(zero_masked(hidden, feature.mask), FAR))
        return with_values(feature, self.norm(feature.values + out))
