"""Fronts: what no other candidate beats in everything. All values are minimised."""

from __future__ import annotations

import math
from collections.abc import Sequence

Values = Sequence[float]


def dominates(first: Values, second: Values) -> bool:
    """Whether ``first`` is nowhere worse and somewhere better."""
    return all(a <= b for a, b in zip(first, second, strict=True)) and tuple(first) != tuple(second)


def best(points: Sequence[Values]) -> list[int]:
    """Places of the front."""
    return [i for i, one in enumerate(points) if not any(dominates(other, one) for other in points)]


def ranks(points: Sequence[Values]) -> list[int]:
    """0 for the front, 1 for the front of the others, and so on (Deb et al., "NSGA-II", 2002, section III-A)."""
    found, left, rank = [0] * len(points), list(range(len(points))), 0
    while left:
        front = [i for i in left if not any(dominates(points[j], points[i]) for j in left)]
        for i in front:
            found[i] = rank
        left = [i for i in left if i not in set(front)]
        rank += 1
    return found


def crowding(points: Sequence[Values]) -> list[float]:
    """How far apart the neighbours of each point are, infinite at the ends (NSGA-II, section III-B)."""
    distance = [0.0] * len(points)
    for values in zip(*points, strict=True):
        order = sorted(range(len(points)), key=lambda i, values=values: values[i])  # type: ignore[misc]
        span = values[order[-1]] - values[order[0]]
        if not math.isfinite(span) or span <= 0:
            continue
        distance[order[0]] = distance[order[-1]] = math.inf
        for before, here, after in zip(order, order[1:], order[2:], strict=False):
            distance[here] += (values[after] - values[before]) / span
    return distance


def thinned(points: Sequence[Values], count: int) -> list[int]:
    """Places of ``count`` points of a front, the most crowded left out one by one; ordered by their first value."""
    kept = sorted(range(len(points)), key=lambda i: tuple(points[i]))
    while len(kept) > max(count, 1):
        distance = crowding([points[i] for i in kept])
        # The best first value stays whatever happens.
        kept.pop(min(range(len(kept) - 1, 0, -1), key=distance.__getitem__))
    return kept


def knee(points: Sequence[Values]) -> int:
    """The point of a front that is farthest below the line through its ends, each value scaled to 0..1.

    Source: Das, "On characterizing the 'knee' of the Pareto curve", Structural Optimization 1999. Departs from it: the
    first value weighs as much as the mean of all others, since costs of one network go together, and three of them
    would outvote any score.
    """
    low, high = [min(v) for v in zip(*points, strict=True)], [max(v) for v in zip(*points, strict=True)]

    def height(i: int) -> float:
        score, *costs = ((v - a) / (b - a) if b > a else 0.0 for v, a, b in zip(points[i], low, high, strict=True))
        return score + math.fsum(costs) / max(len(costs), 1)

    return min(range(len(points)), key=lambda i: (height(i), i))


def hypervolume(points: Sequence[Values], ideal: Values, reference: Values) -> float:
    """Share of the box between ``ideal`` and ``reference`` that the points dominate: 0 to 1.

    Exact, by slicing along the last value (Zitzler & Thiele, 1998). Values in which the box has no extent are left out.
    """
    axes = [k for k, (a, b) in enumerate(zip(ideal, reference, strict=True)) if b > a]
    scaled = [[min((p[k] - ideal[k]) / (reference[k] - ideal[k]), 1.0) for k in axes] for p in points]
    return _volume(scaled) if axes else 0.0


def _volume(points: list[list[float]]) -> float:
    if not points:
        return 0.0
    if len(points[0]) == 1:
        return 1.0 - min(point[0] for point in points)
    total, ordered = 0.0, sorted(points, key=lambda point: point[-1])
    ends = [point[-1] for point in ordered[1:]] + [1.0]
    for index, end in enumerate(ends):
        if end > ordered[index][-1]:
            total += (end - ordered[index][-1]) * _volume([point[:-1] for point in ordered[: index + 1]])
    return total
