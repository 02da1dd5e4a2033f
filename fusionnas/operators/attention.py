"""Attention from the tokens of one sequence to those of another, with real padding masks; also stacked."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from fusionnas.feature import everywhere
from fusionnas.operators.base import where_present


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, *, heads: int = 1) -> Tensor:
    """``softmax(Q K^T / sqrt(D / heads)) V``; zeros where no source token is real.

    Args:
        query: (..., T_0, D).
        key: (..., T_1, D).
        value: (..., T_1, D).
        mask: (..., T_1), which source tokens are real.
        heads: into how many parts the channels are cut.
    """
    width = query.shape[-1] // heads
    q, k, v = (x.reshape(-1, x.shape[-2], heads, width).transpose(1, 2) for x in (query, key, value))
    allowed = None if everywhere(mask) else mask.reshape(-1, 1, 1, mask.shape[-1])
    out = functional.scaled_dot_product_attention(q, k, v, allowed).transpose(1, 2).reshape(query.shape)
    return where_present(mask.any(-1)[..., None, None], out)


def most_heads(width: int) -> int:
    """4, 2 or 1: the most heads that divide the channels."""
    return next(heads for heads in (4, 2, 1) if width % heads == 0)
