"""Choosing among many candidates by their loss per select sample: simplest within one standard error, then lowest.

The standard error is that of the paired difference to the best candidate, so samples that are hard for all do not
count. Simpler means fewer modalities: with a small select part the maximum over many candidates is optimistic, and a
useless modality is what it gets wrong first. Where all candidates are nearly perfect their losses hardly vary and the
standard error is no measure of doubt any more: N samples cannot tell mean losses apart by less than 1 / N nats, which
is what an add-one estimate of a probability leaves open, so that much is always allowed.

The rule says who goes on, not who wins: among the few that were compared on all folds it would give away a modality
that helps by less than the doubt, and what is truly of no use the ablation finds with far less noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def one_standard_error(losses: Tensor, modalities: Sequence[int]) -> int:
    """The candidate to take.

    Args:
        losses: (A, N) negative log-likelihood per candidate and select sample.
        modalities: number of modalities that each candidate reads.
    """
    means = losses.mean(1)
    best = losses[int(means.argmin())]
    within = [i for i in range(len(losses)) if no_worse(losses[i] - best)]
    fewest = min(modalities[i] for i in within)
    return min((i for i in within if modalities[i] == fewest), key=lambda i: float(means[i]))


def no_worse(difference: Tensor, *, errors: float = 1.0) -> bool:
    """Whether a mean difference of losses per sample (N,) is within so many standard errors plus 1 / N."""
    allowed = errors * float(difference.std()) * math.sqrt(len(difference)) + 1
    return float(difference.mean()) <= allowed / len(difference)


def within_doubt(difference: Tensor) -> bool:
    """Whether a mean difference of losses per sample (N,) may be chance: within two standard errors plus 1 / N."""
    return no_worse(difference, errors=2.0)


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Rank correlation of two scorings (tau-b); None where one of them does not vary or has fewer than three."""
    from scipy.stats import kendalltau

    if len(first) < 3:
        return None
    tau = float(kendalltau(first, second).statistic)
    return None if torch.tensor(tau).isnan() else tau
