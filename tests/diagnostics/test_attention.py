"""Attention maps are seen as they were computed, and looking on changes nothing."""

from __future__ import annotations

import torch
from torch.nn import functional

from fusionnas.diagnostics.measures.attention import AttentionMaps
from fusionnas.feature import Feature
from fusionnas.operators import operators


def test_a_map_has_one_row_per_query_that_sums_to_one() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        operator = operators["cross_attention"](2, 8)
        values = torch.randn(3, 5, 8), torch.randn(3, 4, 8)
    masks = torch.ones(3, 5, dtype=torch.bool), torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]).bool()
    first, second = (Feature(v, m, m.any(1)) for v, m in zip(values, masks, strict=True))
    alone = operator([first, second])
    with AttentionMaps() as seen:
        watched = operator([first, second])
    torch.testing.assert_close(watched.values, alone.values)
    (weights,) = seen.maps
    assert weights.shape == (3, 5, 4)
    torch.testing.assert_close(weights[:2].sum(-1), torch.ones(2, 5))
    assert (weights[0, :, 2:] == 0).all() and (weights[2] == 0).all()


def test_the_weights_are_those_of_torch() -> None:
    q, k = torch.randn(2, 1, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    with AttentionMaps() as seen:
        read = functional.scaled_dot_product_attention(q, k, torch.eye(3).expand(1, 2, 3, 3))
    torch.testing.assert_close(seen.maps[0], read.mean(1))
