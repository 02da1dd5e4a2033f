"""A pool that grows toward what trains well: for spaces so large that a sample hardly meets their best.

Source: Real et al., "Regularized evolution for image classifier architecture search", AAAI 2019, arXiv:1802.01548.
Departs from it: generations instead of single steps, so that heads train stacked; children are one change away from one
of the best so far; nobody dies of age, since losses after the first rung only decide who goes on to longer training.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from fusionnas.architecture import Architecture
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.contest import Contest
from fusionnas.search.halving import Watch, head_rungs
from fusionnas.search.heads import Candidate
from fusionnas.search.pool import Pool

if TYPE_CHECKING:
    from fusionnas.space.schema import Search

GENERATIONS = 4
_TRIES = 20  # changes that are looked at for one child


Unit = Callable[[str, Callable[[Checkpoint], Result]], Result]
"""(name, how to compute it) -> result; one that is known is not computed again."""


def evolve(pool: Pool, contest: Contest, search: Search, *, rng: random.Random, watch: Watch, unit: Unit) -> Pool:
    """The best of ``search.heads`` heads in four generations, one in ``search.eta`` of them, and all references.

    Args:
        pool: the first generation.
        contest: what heads train on, for as long as the first rung.
        search: heads, eta, rungs.
        rng: of parents and changes.
        watch: is told (generation, stacks done, stacks expected).
        unit: each generation is one.
    """
    losses: dict[Architecture, float] = {}
    young = list(pool)
    for generation in range(1, GENERATIONS + 1):
        losses.update(_losses(young, contest, search, generation, watch, unit))
        best = sorted(losses, key=lambda a: (losses[a], a.id))[: math.ceil(len(losses) / search.eta)]
        young = list(_children(pool, best, losses, search.heads // GENERATIONS, rng))
    return replace(pool, rest=tuple(a for a in best if a not in pool.references))


def _losses(
    young: Sequence[Architecture], contest: Contest, search: Search, generation: int, watch: Watch, unit: Unit
) -> dict[Architecture, float]:
    """Those of a generation after the first rung's epochs, without whom the contest had no time for."""
    epochs, under_way = head_rungs(search.rungs, contest)[0], []

    def compute(checkpoint: Checkpoint) -> Result:
        members = [Candidate(architecture, contest.seed) for architecture in young]
        expected, means = math.ceil(len(members) / contest.largest), dict[int, float]()
        for stack, heads, found in contest.losses(members, [1.0] * epochs, seed=contest.seed):
            means |= zip((place for place, _ in heads), found.mean(1).nan_to_num(math.inf).tolist(), strict=True)
            under_way.append((stack, len(heads)))
            watch(f"generation {generation} of {GENERATIONS}", len(under_way), max(expected, len(under_way)))
        tensors = {"places": torch.tensor(list(means)), "losses": torch.tensor(list(means.values()))}
        return Result({"stacks": sorted(under_way)}, tensors)

    trained = unit(f"search/generation/{generation}", compute)
    if not under_way:
        # Who says whether a stack may train also counts what was trained.
        for stack, heads in trained.facts["stacks"]:
            contest.going(stack, heads, epochs)
    places, losses = (trained.tensors[name].tolist() for name in ("places", "losses"))
    return {young[place]: loss for place, loss in zip(places, losses, strict=True)}


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
