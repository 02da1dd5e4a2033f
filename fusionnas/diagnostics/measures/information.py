"""Partial information decomposition: what two variables tell about a third, together, each alone, only jointly.

Bertschinger, Rauh, Olbrich, Jost & Ay, "Quantifying unique information", Entropy 2014, arXiv:1311.2852 (BROJA): among
all distributions Q with the marginals (x1, y) and (x2, y) of P, the one with the least ``I_Q(Y; X1, X2)`` holds no
synergy.

    synergy = I_P(Y; X1, X2) - min I_Q(Y; X1, X2)        unique_1 = min I_Q(Y; X1, X2) - I(Y; X2)
    redundancy = I(Y; X1) - unique_1

The minimum is found by alternating projections (Banerjee, Rauh & Montufar, "Computing the unique information", ISIT
2018, arXiv:1709.07487): from the mixture ``R = sum_y P(y) Q(.|y)`` to the nearest coupling with the marginals of each
y, until a lower bound (one transport problem per y) says how close it is. In bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
TOLERANCE = 1e-4  # bits
_ROUNDS, _CHECK_EVERY, _SINKHORN = 4_000, 100, 300


@dataclass(frozen=True)
class Decomposition:
    """Bits about Y.

    Attributes:
        redundancy: in either variable alone.
        unique_first, unique_second: in one and not in the other.
        synergy: in both together and in neither alone.
        error: how far synergy may be too small, and the others off; from a lower bound of the convex problem.
    """

    redundancy: float
    unique_first: float
    unique_second: float
    synergy: float
    error: float

    @property
    def total(self) -> float:
        """I(Y; X1, X2)."""
        return self.redundancy + self.unique_first + self.unique_second + self.synergy


def decompose(joint: Array) -> Decomposition:
    """The decomposition of a joint distribution.

    Args:
        joint: (X1, X2, Y), counts or probabilities.
    """
    p = np.asarray(joint, dtype=np.float64)
    if p.ndim != 3 or (p < 0).any() or p.sum() <= 0:
        raise ValueError("needs a table of three dimensions (first, second, outcome) without negative entries")
    p = p / p.sum()
    p = p[p.sum((1, 2)) > 0][:, p.sum((0, 2)) > 0][:, :, p.sum((0, 1)) > 0]
    together, first, second = mutual(p.reshape(-1, p.shape[2])), mutual(p.sum(1)), mutual(p.sum(0))
    least, error = _least(p)
    least = min(max(least, first, second), together)
    return Decomposition(
        redundancy=max(first + second - least, 0.0), unique_first=least - second, unique_second=least - first,
        synergy=together - least, error=error,
    )  # fmt: skip


def mutual(joint: Array) -> float:
    """Mutual information of a table (X, Y) of probabilities, in bits."""
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    inside = joint > 0
    return float((joint[inside] * np.log2(joint[inside] / apart[inside])).sum())


def table_of(first: NDArray[np.int64], second: NDArray[np.int64], outcome: NDArray[np.int64]) -> Array:
    """Counts (X1, X2, Y) of three labellings (N,)."""
    counts = np.zeros((first.max() + 1, second.max() + 1, outcome.max() + 1))
    np.add.at(counts, (first, second, outcome), 1)
    return counts


def _least(p: Array) -> tuple[float, float]:
    """The least I_Q(Y; X1, X2) in bits, and how much less it might be."""
    weight = p.sum((0, 1))
    rows, columns = (p.sum(1) / weight).T, (p.sum(0) / weight).T  # P(x1 | y), P(x2 | y), one line per y
    conditional = rows[:, :, None] * columns[:, None, :]
    scale, error = np.ones_like(columns), np.inf
    for step in range(1, _ROUNDS + 1):
        conditional, scale = _couplings(np.tensordot(weight, conditional, 1), rows, columns, scale)
        if step % _CHECK_EVERY == 0 or step == 1:
            error = _excess(conditional, weight)
            if error < TOLERANCE:
                break
    joint = conditional * weight[:, None, None]
    return mutual(joint.reshape(len(weight), -1)), max(error, 0.0)


def _couplings(mixture: Array, rows: Array, columns: Array, scale: Array) -> tuple[Array, Array]:
    """Per y the coupling with its marginals that is nearest to ``mixture`` (Sinkhorn's scaling), and the scale."""
    support = mixture * (rows[:, :, None] > 0) * (columns[:, None, :] > 0)
    for _ in range(_SINKHORN):
        left = _ratio(rows, np.einsum("ymn,yn->ym", support, scale))
        new = _ratio(columns, np.einsum("ym,ymn->yn", left, support))
        done = np.abs(new - scale).max() <= 1e-12 * max(1.0, float(np.abs(new).max()))
        scale = new
        if done:
            break
    return np.asarray(left[:, :, None] * support * scale[:, None, :]), scale


def _ratio(wanted: Array, given: Array) -> Array:
    return np.divide(wanted, given, out=np.zeros_like(wanted), where=given > 0)


def _excess(conditional: Array, weight: Array) -> float:
    """Frank and Wolfe's gap: an upper bound of how far the objective is above its minimum, in bits."""
    from scipy.optimize import linprog

    mixture, total = np.tensordot(weight, conditional, 1), 0.0
    for q, share in zip(conditional, weight, strict=True):
        kept = np.ix_(q.sum(1) > 0, q.sum(0) > 0)
        q, r = q[kept], mixture[kept]
        slope = np.log2(np.maximum(q, 1e-300) / np.maximum(r, 1e-300))
        slope = np.where((q <= 0) & (r <= 0), 0.0, slope)
        m, n = q.shape
        sums = np.concatenate([np.kron(np.eye(m), np.ones(n)), np.kron(np.ones(m), np.eye(n))])
        limits = np.concatenate([q.sum(1), q.sum(0)])
        best = linprog(slope.ravel(), A_eq=sums[:-1], b_eq=limits[:-1], bounds=(0, None), method="highs")
        total += float(share) * (float((q * slope).sum()) - float(best.fun))
    return total
