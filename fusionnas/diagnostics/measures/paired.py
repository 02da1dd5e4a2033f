"""Tests and intervals of paired differences and of shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FLIPS = 9999


def sign_flip(differences: Array, groups: NDArray[np.str_], *, generator: np.random.Generator) -> float:
    """Two-sided p of "the mean difference is zero": how often random signs give a mean as far from zero.

    Samples of one group get one sign, since they are not independent; that takes at least six groups to say anything.

    Args:
        differences: (N,) per sample.
        groups: (N,) names of groups.
        generator: of the signs.
    """
    _, member = np.unique(groups, return_inverse=True)
    sums = np.bincount(member, weights=differences)
    observed = abs(sums.sum())
    hits = 0
    for count in [1000] * (FLIPS // 1000) + [FLIPS % 1000]:
        signs = generator.integers(0, 2, (count, len(sums))) * 2 - 1
        hits += int((np.abs(signs @ sums) >= observed * (1 - 1e-12)).sum())
    return (hits + 1) / (FLIPS + 1)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, JASA 1927)."""
    z, n = 1.959964, max(count, 1)
    share = hits / n
    centre, half = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float((centre - half) / (1 + z * z / n)), float((centre + half) / (1 + z * z / n))
