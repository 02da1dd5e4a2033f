"""Parts that several encoders share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.layers import Linear


class Perceptron(nn.Module):
    """``V gelu(W x + b) + c`` per token with 2 D hidden units, (..., D) -> (..., D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden, self.project = Linear(width, 2 * width), Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        out: Tensor = self.project(functional.gelu(self.hidden(x)))
        return out


def positions(length: int, frequencies: Tensor, like: Tensor) -> Tensor:
    """Sinusoids (T, D) of the token's place (Vaswani et al., 2017, arXiv:1706.03762), D = 2 len(frequencies) at most.

    Computed in float32, whatever type ``like`` has: bfloat16 cannot tell places beyond 256 apart.
    """
    angles = torch.arange(length, device=like.device, dtype=torch.float32).unsqueeze(-1) * frequencies
    return torch.cat((angles.sin(), angles.cos()), -1)[:, : like.shape[-1]].to(like.dtype)


def neighbours(x: Tensor, offsets: tuple[int, ...]) -> Tensor:
    """Every token beside shifted ones, (B, T, D) -> (B, T, len(offsets) D); zeros beyond the ends.

    Offset -2 brings what stood two tokens earlier. A linear map of the result is a convolution over T.
    """
    length = x.shape[-2]
    before, after = max(0, -min(offsets)), max(0, *offsets)
    padded = functional.pad(x, (0, 0, before, after))
    return torch.cat([padded.narrow(-2, before + offset, length) for offset in offsets], -1)
