"""Attention maps of any operator, without its help: every scaled dot-product attention that torch computes is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class AttentionMaps(TorchFunctionMode):
    """Inside ``with AttentionMaps() as seen:``, ``seen.maps`` collects the weights of every attention, in order.

    Attributes:
        maps: (B, T_0, T_1) each, mean over heads; a query that may look at nothing has zeros.
    """

    def __init__(self) -> None:
        super().__init__()
        self.maps: list[Tensor] = []

    def __torch_function__(
        self, function: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Look on; the result is what it would have been."""
        if function is functional.scaled_dot_product_attention:
            given = dict(zip(("query", "key", "value", "attn_mask"), args, strict=False)) | (kwargs or {})
            self.maps.append(_weights(given["query"], given["key"], given.get("attn_mask")))
        return function(*args, **(kwargs or {}))


def _weights(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(Q K^T / sqrt(D)), (B, heads, T_0, D) and (B, heads, T_1, D) -> (B, T_0, T_1), mean over heads."""
    with torch._C.DisableTorchFunction():
        scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        weights: Tensor = scores.softmax(-1).nan_to_num(0.0).mean(1)
        return weights
