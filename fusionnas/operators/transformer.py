"""A pre-norm transformer block over masked tokens, for self and for cross attention, that also runs stacked.

Shapes: B batch, T tokens that ask, S tokens that are asked, D width; a leading member dimension G may come first.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from fusionnas.layers import LayerNorm, Linear
from fusionnas.operators.attention import attend, most_heads


class Block(nn.Module):
    """``h = x + O attend(Q n(x), K m(s), V m(s))``, then ``h + ffn(l(h))``; no biases in attention, GELU, 2 D hidden.

    Args:
        width: channels D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = most_heads(width)
        self.norm, self.norm_source, self.norm_ffn = LayerNorm(width), LayerNorm(width), LayerNorm(width)
        self.query, self.key_value = Linear(width, width, bias=False), Linear(width, 2 * width, bias=False)
        self.answer = Linear(width, width, bias=False)
        self.hidden, self.project = Linear(width, 2 * width), Linear(2 * width, width)

    def forward(self, x: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        """(..., B, T, D) asks (..., B, S, D), of which ``mask`` (..., B, S) is real -> (..., B, T, D)."""
        key, value = self.key_value(self.norm_source(source)).split(x.shape[-1], -1)
        hidden = x + self.answer(attend(self.query(self.norm(x)), key, value, mask, heads=self.heads))
        out: Tensor = hidden + self.project(functional.gelu(self.hidden(self.norm_ffn(hidden))))
        return out

    @staticmethod
    def count_parameters(width: int) -> int:
        """``8 D^2 + 9 D``."""
        return 8 * width**2 + 9 * width

    @staticmethod
    def count_macs(width: int, asking: int, asked: int) -> int:
        """``(6 T + 2 S) D^2 + 2 T S D``."""
        return (6 * asking + 2 * asked) * width**2 + 2 * asking * asked * width
