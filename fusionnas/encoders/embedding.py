"""Encoder embedding: id tokens mixed through the mean of all tokens."""

from __future__ import annotations

from typing import ClassVar

from torch.nn import functional

from fusionnas.encoders.base import EncoderFacts, EncoderLayer, register_encoder, with_values
from fusionnas.feature import Feature, InputSpec, pool
from fusionnas.layers import LayerNorm, Linear


@register_encoder("embedding")
class Embedding(EncoderLayer):
    """``norm(x_t + V (gelu(a_t) * sigmoid(g_t)))`` with ``[a_t; g_t] = W x_t + C mean(x) + b``, (B, T, D) -> (B, T, D).

    Each token is transformed, gated, in the light of the bag of all real tokens: the order of tokens counts only
    through the stem's positions. For code lists and short texts, at the cost of a perceptron.
    """

    facts: ClassVar[EncoderFacts] = EncoderFacts(
        summary="gated residual perceptron per token that also reads the mean of all tokens",
        source="Zaheer et al., Deep Sets, NeurIPS 2017, arXiv:1703.06114, equivariant layer; gate: Shazeer, GLU "
        "Variants Improve Transformer, 2020, arXiv:2002.05202",
        departs="equivariant map and gated unit in one layer; sigmoid gate on a GELU unit; LayerNorm after the sum",
        kinds=("codes", "text"),
        view={"codes": "tokens", "text": "tokens"},
    )

    def __init__(self, width: int, spec: InputSpec) -> None:
        super().__init__(width, spec)
        self.token, self.context = Linear(width, 2 * width), Linear(width, 2 * width, bias=False)
        self.project, self.norm = Linear(width, width), LayerNorm(width)

    def forward(self, feature: Feature) -> Feature:
        """The next level."""
        mixed = self.token(feature.values) + self.context(pool(feature)).unsqueeze(-2)
        unit, gate = mixed.chunk(2, -1)
        out = self.project(functional.gelu(unit) * gate.sigmoid())
        return with_values(feature, self.norm(feature.values + out))
