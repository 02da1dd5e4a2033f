"""Crossmodal encoders, and the multimodal transformer as published: any number of unaligned sequences of any widths.

Source: Tsai et al., "Multimodal Transformer for Unaligned Multimodal Language Sequences", ACL 2019, arXiv:1906.00295.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusionnas.feature import Feature, pool
from fusionnas.layers import LayerNorm, Linear
from fusionnas.operators.attention import attend, most_heads


class CrossmodalLayer(nn.Module):
    """Pre-norm block: queries from the target, keys and values from a source, then a feed-forward layer of 4 D units.

    One norm serves queries, keys and values, as in the source's code. ``12 D^2 + 13 D`` parameters.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm_ffn = LayerNorm(width), LayerNorm(width)
        self.query, self.key_value = Linear(width, width), Linear(width, 2 * width)
        self.answer = Linear(width, width)
        self.hidden, self.project = Linear(width, 4 * width), Linear(4 * width, width)
        assert self.hidden.bias is not None
        # Off the kink of relu, where inputs are all 0.
        nn.init.normal_(self.hidden.bias, std=0.1)

    def forward(self, target: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        """Target (..., T_0, D), source (..., T_1, D) and which of its tokens are real (..., T_1) -> (..., T_0, D)."""
        query = self.query(self.norm(target))
        key, value = self.key_value(self.norm(source)).chunk(2, -1)
        fused = target + self.answer(attend(query, key, value, mask, heads=self.heads))
        out: Tensor = fused + self.project(self.hidden(self.norm_ffn(fused)).relu())
        return out


class CrossmodalEncoder(nn.Module):
    """Layers whose keys and values are always the source as it came in, then a norm; without a source, self-attention.

    ``L (12 D^2 + 13 D) + 2 D`` parameters.

    Args:
        width: channels D.
        layers: L.
        heads: of attention; default the most of 4, 2 or 1 that divide D.
    """

    def __init__(self, width: int, layers: int, heads: int | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CrossmodalLayer(width, heads or most_heads(width)) for _ in range(layers))
        self.norm = LayerNorm(width)

    def forward(self, target: Tensor, mask: Tensor, source: Tensor | None = None) -> Tensor:
        """Target (..., T_0, D), the mask of the source (or of the target where there is none) -> (..., T_0, D)."""
        for layer in self.layers:
            target = layer(target, target if source is None else source, mask)
        out: Tensor = self.norm(target)
        return out


class MultimodalTransformer(nn.Module):
    """MulT as published: a crossmodal encoder per ordered pair of inputs, a memory encoder per target, and a head.

    For inputs of widths D_m, ``d sum D_m + M (M - 1) enc(d, L) + M enc((M - 1) d, max(L, 3)) + 2 (C^2 + C) + C o + o``
    parameters, where ``enc(e, L) = L (12 e^2 + 13 e) + 2 e`` and ``C = M (M - 1) d``. We depart where the authors' code
    fails: real padding masks; positions are counted over real tokens, in float32, for any width, and kept nowhere; what
    is read out is the masked mean, not the last step; an absent input adds nothing; no index-based future mask; no
    dropout.

    Args:
        widths: channels of each input, at least two.
        width: channels d between.
        layers: crossmodal layers L; the memory has max(L, 3).
        heads: attention heads; must divide ``width``.
        outputs: channels out.
    """

    def __init__(self, widths: Sequence[int], *, width: int, layers: int, heads: int, outputs: int) -> None:
        super().__init__()
        count = len(widths)
        self.width, wide = width, (count - 1) * width
        self.inputs = nn.ModuleList(Linear(fan_in, width, bias=False) for fan_in in widths)
        self.pairs = nn.ModuleList(CrossmodalEncoder(width, layers, heads) for _ in range(count * (count - 1)))
        self.memories = nn.ModuleList(CrossmodalEncoder(wide, max(layers, 3), heads) for _ in range(count))
        self.hidden, self.back = Linear(count * wide, count * wide), Linear(count * wide, count * wide)
        self.output = Linear(count * wide, outputs)

    def forward(self, features: Sequence[Feature]) -> Tensor:
        """Sequences (B, T_m, D_m), each of a length of its own -> (B, outputs)."""
        ready = [self._embedded(feature, project) for feature, project in zip(features, self.inputs, strict=True)]
        pairs = iter(self.pairs)
        pooled = []
        for place, (target, memory) in enumerate(zip(ready, self.memories, strict=True)):
            streams = [
                next(pairs)(target.values, source.mask, source.values) * source.present[..., None, None]
                for other, source in enumerate(ready)
                if other != place
            ]
            fused = memory(torch.cat(streams, -1), target.mask)
            pooled.append(pool(target._replace(values=fused)))
        joint = torch.cat(pooled, -1)
        joint = joint + self.back(self.hidden(joint).relu())
        out: Tensor = self.output(joint)
        return out

    def _embedded(self, feature: Feature, project: nn.Module) -> Feature:
        real = feature.mask.unsqueeze(-1)
        values = project(torch.where(real, feature.values, 0.0)) * math.sqrt(self.width)
        return feature._replace(values=torch.where(real, values + positions(feature.mask, values), 0.0))


def positions(mask: Tensor, like: Tensor) -> Tensor:
    """Sinusoids (..., T, D) of each token's number among the real ones (Vaswani et al., 2017, arXiv:1706.03762)."""
    width = like.shape[-1]
    number = mask.cumsum(-1).to(torch.float32).unsqueeze(-1)
    channel = torch.arange(width, device=like.device)
    rate = torch.exp(-math.log(10_000.0) * (channel // 2).to(torch.float32) / max(width // 2, 1))
    angle = number * rate
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos()).to(like.dtype)


def encoder_parameters(width: int, layers: int) -> int:
    """``L (12 D^2 + 13 D) + 2 D``."""
    return layers * (12 * width**2 + 13 * width) + 2 * width
