"""Rank correlation with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 1000


def kendall_interval(
    pairs: Sequence[tuple[float, float]], *, generator: np.random.Generator
) -> tuple[float | None, float | None, float | None]:
    """Kendall's tau-b and its 95 % percentile interval over resampled pairs; None where it is not defined.

    Args:
        pairs: (one score, another score) per candidate; at least three.
        generator: of the resamples.
    """
    from scipy.stats import kendalltau

    table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    if len(table) < 3 or len(np.unique(table[:, 0])) < 2 or len(np.unique(table[:, 1])) < 2:
        return None, None, None
    drawn = []
    for _ in range(RESAMPLES):
        chosen = table[generator.integers(0, len(table), len(table))]
        if len(np.unique(chosen[:, 0])) > 1 and len(np.unique(chosen[:, 1])) > 1:
            drawn.append(float(kendalltau(chosen[:, 0], chosen[:, 1]).statistic))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(kendalltau(table[:, 0], table[:, 1]).statistic), float(low), float(high)
