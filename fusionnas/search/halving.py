"""Successive halving over stacked heads, and rescoring of the survivors from fresh seeds.

Source: Jamieson & Talwalkar, "Non-stochastic best arm identification", 2016, arXiv:1502.07943. Departs from it:
arms of one operator sequence train in one pass; the key is the mean negative log-likelihood on select; the first rung
has at least 70 steps, since shorter ones throw the right heads out. Who survives a rung trains anew for all epochs up
to the next one's end: that costs a seventh more than going on would, and in return nothing but losses is kept of those
who train, so a rung takes any number of heads, in any grouping.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.search.cache import Cache
from fusionnas.search.heads import Candidate, Heads, HeadSettings, SequentialHeads, stackable
from fusionnas.search.stack import HeadStack

FIRST_RUNG_STEPS = 70
LARGEST_STACK = 128
SAME_WIRING = 32  # so many heads of one wiring make a stack of their own, in which no slot is empty

Wiring = tuple[tuple[int | None, ...], ...]
Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Contest:
    """What heads train on, and by what they are compared.

    Attributes:
        train, select: cached features.
        settings: sizes and rates of the heads.
        seed: of the batches.
    """

    train: Cache
    select: Cache
    settings: HeadSettings
    seed: int

    def losses(self, candidates: Sequence[Candidate], factors: Sequence[float]) -> Tensor:
        """Train a group of heads, of one operator sequence; their loss per select sample, (G, N)."""
        kind = HeadStack if stackable(candidates[0].operators) else SequentialHeads
        heads: Heads = kind(candidates, self.settings, self.train.points)
        heads.fit(self.train, factors, seed=self.seed)
        return heads.losses(self.select)


def halve(
    candidates: Sequence[Candidate],
    contest: Contest,
    *,
    rungs: Sequence[int],
    eta: int,
    keep: int,
    watch: Watch,
) -> list[tuple[Candidate, float]]:
    """Train all candidates by rungs; the best, at least ``keep``, with their select loss, best first.

    Args:
        candidates: heads to compare.
        contest: what they train on.
        rungs: epochs that each rung adds.
        eta: one candidate in eta goes on to the next rung.
        keep: fewest candidates that go on.
        watch: is told (rung, groups done, groups).
    """
    lengths = _lengths(rungs, contest)
    ranked: list[tuple[Candidate, float]] = [(candidate, math.inf) for candidate in candidates]
    for number in range(len(lengths)):
        going_on = len(ranked) if number == 0 else max(keep, math.ceil(len(ranked) / eta))
        members = [candidate for candidate, _ in ranked[:going_on]]
        losses = [math.inf] * len(members)
        factors = [1.0] * sum(lengths[: number + 1])
        for places, found in _trained(members, contest, factors, watch, f"rung {number + 1} of {len(rungs)}"):
            for place, loss in zip(places, found.mean(1).nan_to_num(math.inf).tolist(), strict=True):
                losses[place] = loss
        order = sorted(range(len(members)), key=lambda i: losses[i])
        ranked = [(members[i], losses[i]) for i in order]
    return ranked


def rescore(
    architectures: Sequence[Architecture], contest: Contest, *, epochs: int, seeds: int, watch: Watch
) -> Tensor:
    """Select loss per architecture and sample, mean over fresh seeds: (A, N).

    Each head trains anew for ``epochs`` with a cosine schedule, on other batches than in ``halve``.
    """
    factors = [0.5 * (1 + math.cos(math.pi * e / epochs)) for e in range(epochs)]
    total = torch.zeros(len(architectures), len(contest.select.target))
    fresh = replace(contest, seed=contest.seed + 1)
    members = [Candidate(a, contest.seed + 1 + s) for a in architectures for s in range(seeds)]
    for places, found in _trained(members, fresh, factors, watch, "rescore"):
        for place, losses in zip(places, found, strict=True):
            total[place // seeds] += losses
    return total / seeds


def _trained(
    members: Sequence[Candidate], contest: Contest, factors: Sequence[float], watch: Watch, stage: str
) -> Iterator[tuple[list[int], Tensor]]:
    """(places among ``members``, their losses), group after group."""
    groups = grouped(members)
    for done, places in enumerate(groups):
        yield places, contest.losses([members[i] for i in places], factors)
        watch(stage, done + 1, len(groups))


def grouped(members: Sequence[Candidate]) -> list[list[int]]:
    """Places of members that train together: of one operator sequence and, where there are enough, of one wiring."""
    by_operators: dict[tuple[str, ...], dict[Wiring, list[int]]] = {}
    for place, member in enumerate(members):
        by_operators.setdefault(member.operators, {}).setdefault(member.wiring, []).append(place)
    groups = []
    for wirings in by_operators.values():
        same = [places for places in wirings.values() if len(places) >= SAME_WIRING]
        mixed = [place for places in wirings.values() if len(places) < SAME_WIRING for place in places]
        groups += [part for places in [*same, mixed] for part in _parts(places)]
    return groups


def _parts(places: list[int]) -> list[list[int]]:
    """Cut into even parts of at most ``LARGEST_STACK``."""
    count = math.ceil(len(places) / LARGEST_STACK)
    return [places[len(places) * i // count : len(places) * (i + 1) // count] for i in range(count)]


def _lengths(rungs: Sequence[int], contest: Contest) -> list[int]:
    steps = math.ceil(len(contest.train.target) / contest.settings.batch_size)
    return [max(rungs[0], math.ceil(FIRST_RUNG_STEPS / steps)), *rungs[1:]]
