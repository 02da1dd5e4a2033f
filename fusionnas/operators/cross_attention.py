"""Cross attention: the tokens of the first input attend to the tokens of every other input (crossmodal block)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.feature import Feature
from fusionnas.layers import LayerNorm, Linear
from fusionnas.operators.attention import attend, most_heads
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator, where_present


@register_operator("cross_attention")
class CrossAttention(FusionOperator):
    """k sequences (..., B, T_j, D) -> (..., B, T_0, D) with the mask and the presence of input 0.

    The first input asks, the others answer. Where the first is absent there is no token to answer to: the output
    is absent, even if others are there. An absent other input adds exactly nothing.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="y = x_0 + sum_j O_j attend(Q_j n(x_0), K_j n(x_j), V_j n(x_j)); z = y + ffn(m(y)); n, m LayerNorm",
        source="Tsai et al., Multimodal Transformer for Unaligned Multimodal Language Sequences, ACL 2019, "
        "arXiv:1906.00295, crossmodal block",
        departs="key-padding masks instead of the index-based future mask; streams of several sources are added, "
        "not concatenated; no biases in attention; feed-forward 2 D wide with GELU instead of 4 D with ReLU; positions "
        "are the encoders' task",
        parameters="(k - 1)·4·D² + 4·D² + 7·D",
        macs="(k - 1)·2·T0·D² + (T - T0)·2·D² + 2·T0·(T - T0)·D + 4·T0·D², T tokens in all, T0 of input 0",
        rank=9,
        absent="its terms are left out; without the first, so is the output",
    )
    ordered: ClassVar[bool] = True
    sequence: ClassVar[bool] = True

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.heads = most_heads(width)
        self.norm, self.norm_ffn = LayerNorm(width), LayerNorm(width)
        self.query = Linear(width, (inputs - 1) * width, bias=False)
        # One module per source: sources differ in length, so one product cannot serve them all.
        self.sources = nn.ModuleList(Linear(width, 2 * width, bias=False) for _ in range(inputs - 1))
        self.answer = Linear((inputs - 1) * width, width, bias=False)
        self.hidden, self.project = Linear(width, 2 * width), Linear(2 * width, width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k sequences -> the first one, informed by the others."""
        target = features[0]
        real = target.mask.unsqueeze(-1)
        values = where_present(real, target.values)
        queries = self.query(self.norm(values)).split(self.width, -1)
        answers = [
            self._attend(query, source, answer)
            for query, source, answer in zip(queries, features[1:], self.sources, strict=True)
        ]
        fused = values + self.answer(torch.cat(answers, -1))
        fused = fused + self.project(functional.gelu(self.hidden(self.norm_ffn(fused))))
        return Feature(where_present(real, fused), target.mask, target.present)

    def _attend(self, query: Tensor, source: Feature, key_value: nn.Module) -> Tensor:
        """Queries (..., T_0, D) and a source (..., T_j, D) -> (..., T_0, D); zeros where no source token is real."""
        values = where_present(source.mask.unsqueeze(-1), source.values)
        key, value = key_value(self.norm(values)).split(self.width, -1)
        return attend(query, key, value, source.mask, heads=self.heads)

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``4 (k - 1) D^2`` for attention, ``4 D^2 + 3 D`` for the feed-forward layer, ``4 D`` for the norms."""
        return 4 * inputs * width**2 + 7 * width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """Queries and answers, keys and values, the two products of attention, the feed-forward layer."""
        first, others = tokens[0], sum(tokens[1:])
        linear = 2 * (inputs - 1) * first + 2 * others + 4 * first
        return linear * width**2 + 2 * first * others * width
