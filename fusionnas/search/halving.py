"""Successive halving over stacked heads, and rescoring of the survivors from fresh seeds.

Source: Jamieson & Talwalkar, "Non-stochastic best arm identification", 2016, arXiv:1502.07943. Departs from it:
all arms of one operator sequence train in one pass; weights go on from rung to rung; the key is the mean negative
log-likelihood on select; the first rung has at least 70 steps, since shorter ones throw the right heads out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.search.cache import Cache
from fusionnas.search.heads import Candidate, HeadSettings, HeadStack, SequentialHeads, stackable

FIRST_RUNG_STEPS = 70
LARGEST_STACK = 128

Watch = Callable[[str, int, int], None]


def halve(
    candidates: Sequence[Candidate],
    train: Cache,
    select: Cache,
    settings: HeadSettings,
    *,
    rungs: Sequence[int],
    eta: int,
    keep: int,
    seed: int,
    watch: Watch,
) -> list[tuple[Candidate, float]]:
    """Train all candidates by rungs; the best, at least ``keep``, with their select loss, best first.

    Args:
        candidates: heads to compare.
        train, select: cached features.
        settings: sizes and rates of the heads.
        rungs: epochs of each rung.
        eta: one candidate in eta goes on to the next rung.
        keep: fewest candidates that go on.
        seed: of the batches.
        watch: is told (rung, groups done, groups).
    """
    groups = _groups(candidates, settings, train)
    ranked: list[tuple[Candidate, float]] = []
    start = 0
    for number, epochs in enumerate(_lengths(rungs, len(train.target), settings.batch_size)):
        table = []
        for done, group in enumerate(groups):
            group.fit(train, [1.0] * epochs, seed=seed, start=start)
            losses = group.losses(select).mean(1).tolist()
            table += [(loss, done, member) for member, loss in enumerate(losses)]
            watch(f"rung {number + 1} of {len(rungs)}", done + 1, len(groups))
        start += epochs
        table.sort()
        ranked = [(groups[g].candidates[m], loss) for loss, g, m in table]
        survivors = table[: max(keep, math.ceil(len(table) / eta))]
        groups = _kept(groups, survivors)
    return ranked


def rescore(
    architectures: Sequence[Architecture],
    train: Cache,
    select: Cache,
    settings: HeadSettings,
    *,
    epochs: int,
    seeds: int,
    seed: int,
    watch: Watch,
) -> Tensor:
    """Select loss per architecture and sample, mean over fresh seeds: (A, N).

    Each head trains anew for ``epochs`` with a cosine schedule; for the other arguments see :func:`halve`.
    """
    factors = [0.5 * (1 + math.cos(math.pi * e / epochs)) for e in range(epochs)]
    total = torch.zeros(len(architectures), len(select.target))
    place = {architecture: index for index, architecture in enumerate(architectures)}
    candidates = [Candidate(a, seed + 1 + s) for a in architectures for s in range(seeds)]
    groups = _groups(candidates, settings, train)
    for done, group in enumerate(groups):
        group.fit(train, factors, seed=seed + 1)
        for candidate, losses in zip(group.candidates, group.losses(select), strict=True):
            total[place[candidate.architecture]] += losses
        watch("rescore", done + 1, len(groups))
    return total / seeds


def _lengths(rungs: Sequence[int], samples: int, batch_size: int) -> list[int]:
    steps = math.ceil(samples / batch_size)
    return [max(rungs[0], math.ceil(FIRST_RUNG_STEPS / steps)), *rungs[1:]]


def _groups(
    candidates: Sequence[Candidate], settings: HeadSettings, cache: Cache
) -> list[HeadStack | SequentialHeads]:
    by_operators: dict[tuple[str, ...], list[Candidate]] = {}
    for candidate in candidates:
        by_operators.setdefault(candidate.operators, []).append(candidate)
    groups: list[HeadStack | SequentialHeads] = []
    for members in by_operators.values():
        kind = HeadStack if stackable(members[0]) else SequentialHeads
        for first in range(0, len(members), LARGEST_STACK):
            groups.append(kind(members[first : first + LARGEST_STACK], settings, cache.points))
    return groups


def _kept(
    groups: list[HeadStack | SequentialHeads], survivors: list[tuple[float, int, int]]
) -> list[HeadStack | SequentialHeads]:
    members: dict[int, list[int]] = {}
    for _, group, member in survivors:
        members.setdefault(group, []).append(member)
    for group, kept in members.items():
        groups[group].keep(sorted(kept))
    return [groups[group] for group in sorted(members)]
