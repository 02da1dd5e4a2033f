"""Encoder summary: a series as one vector of summaries per variable."""

from __future__ import annotations

from typing import ClassVar

from fusionnas.encoders.base import EncoderFacts, EncoderLayer, register_encoder, with_values
from fusionnas.encoders.blocks import Perceptron
from fusionnas.feature import Feature, InputSpec
from fusionnas.layers import LayerNorm


@register_encoder("summary")
class Summary(EncoderLayer):
    """``norm(x + V gelu(W x + b) + c)`` on the summary vector, (B, 1, D) -> (B, 1, D).

    What makes this encoder is its view: statistics and the pattern of measurement of each variable (mean, spread,
    first, last, slope, counts, ...) that sequence encoders learn late or never from a few thousand samples.
    """

    facts: ClassVar[EncoderFacts] = EncoderFacts(
        summary="residual perceptron on summaries of each variable and of when it was measured",
        source="Harutyunyan et al., Multitask learning and benchmarking with clinical time series data, 2019, "
        "arXiv:1703.07771, summaries of the logistic-regression baseline",
        departs="whole horizon, not seven sub-periods; median, slope and measurement pattern added; feeds a network",
        kinds=("timeseries",),
        view={"timeseries": "summary"},
    )

    def __init__(self, width: int, spec: InputSpec) -> None:
        super().__init__(width, spec)
        self.block, self.norm = Perceptron(width), LayerNorm(width)

    def forward(self, feature: Feature) -> Feature:
        """The next level."""
        return with_values(feature, self.norm(feature.values + self.block(feature.values)))
