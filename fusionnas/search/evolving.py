"""A pool that grows toward what trains well: for spaces so large that a sample hardly meets their best.

Source: Real et al., "Regularized evolution for image classifier architecture search", AAAI 2019, arXiv:1802.01548.
Departs from it: generations instead of single steps, so that heads train stacked; children are one change away from one
of the best so far; nobody dies of age, since losses after the first rung only decide who goes on to longer training.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from fusionnas.architecture import Architecture
from fusionnas.search.contest import Contest
from fusionnas.search.halving import Watch, head_rungs
from fusionnas.search.heads import Candidate
from fusionnas.search.pool import Pool

if TYPE_CHECKING:
    from fusionnas.space.schema import Search

GENERATIONS = 4
_TRIES = 20  # changes that are looked at for one child


def evolve(pool: Pool, contest: Contest, search: Search, *, rng: random.Random, watch: Watch) -> Pool:
    """The best of ``search.heads`` heads in four generations, one in ``search.eta`` of them, and all references.

    Args:
        pool: the first generation.
        contest: what heads train on, for as long as the first rung.
        search: heads, eta, rungs.
        rng: of parents and changes.
        watch: is told (generation, stacks done, stacks expected).
    """
    factors = [1.0] * head_rungs(search.rungs, contest)[0]
    losses: dict[Architecture, float] = {}
    young = list(pool)
    for generation in range(GENERATIONS):
        members = [Candidate(architecture, contest.seed) for architecture in young]
        expected = math.ceil(len(members) / contest.largest)
        for done, (_, stack, found) in enumerate(contest.losses(members, factors, seed=contest.seed), start=1):
            means = found.mean(1).nan_to_num(math.inf).tolist()
            losses.update({c.architecture: loss for (_, c), loss in zip(stack, means, strict=True)})
            watch(f"generation {generation + 1} of {GENERATIONS}", done, max(expected, done))
        best = sorted(losses, key=lambda a: (losses[a], a.id))[: math.ceil(len(losses) / search.eta)]
        young = list(_children(pool, best, losses, search.heads // GENERATIONS, rng))
    return replace(pool, rest=tuple(a for a in best if a not in pool.references))


def _children(
    pool: Pool, parents: list[Architecture], known: dict[Architecture, float], count: int, rng: random.Random
) -> Iterator[Architecture]:
    """New architectures, each one change away from a random parent."""
    space, new = pool.space, set[Architecture]()
    able = [parent for parent in parents if space.contains(parent)]
    for _ in range(count * _TRIES if able else 0):
        if len(new) == count:
            return
        changed = rng.choice(list(space.neighbours(rng.choice(able))))
        child = space.architecture(changed.nodes, changed.output, pool.layers)
        if child not in known and child not in new and (pool.allowed is None or pool.allowed(child)):
            new.add(child)
            yield child
