"""Successive halving over stacked heads, and rescoring of the survivors from fresh seeds.

Source: Jamieson & Talwalkar, "Non-stochastic best arm identification", 2016, arXiv:1502.07943. Departs from it:
arms of one operator sequence train in one pass; the key is the mean negative log-likelihood on select; the first rung
has at least 70 steps, since shorter ones throw the right heads out. Who survives a rung trains anew for all epochs up
to the next one's end: that costs a seventh more than going on would, and in return nothing but losses and the
survivors is kept of those who train, so a rung takes any number of heads, drawn as they are needed.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.run.unit import Checkpoint
from fusionnas.search.contest import Contest
from fusionnas.search.heads import Candidate

FIRST_RUNG_STEPS = 70

Watch = Callable[[str, int, int], None]
Ranking = list[tuple[Candidate, float]]


def halve(
    candidates: Collection[Candidate],
    contest: Contest,
    *,
    rungs: Sequence[int],
    eta: int,
    keep: int,
    watch: Watch,
    checkpoint: Checkpoint | None = None,
    steps: int = FIRST_RUNG_STEPS,
) -> Ranking:
    """Train all candidates by rungs; those of the last rung with their select loss, best first.

    Args:
        candidates: heads to compare; a collection may make them as they are asked for.
        contest: what they train on, and where.
        rungs: epochs that each rung adds.
        eta: one candidate in eta goes on to the next rung.
        keep: fewest candidates that go on.
        watch: is told (rung, stacks done, stacks expected).
        checkpoint: where to save and resume; None: no saving.
        steps: fewest of the first rung.
    """
    added = head_rungs(rungs, contest, steps)
    saved = checkpoint.load() if checkpoint is not None else None
    before: list[dict[int, int]] = [] if saved is None else saved["before"]
    for number, stacks in enumerate(before):
        # Who says whether a stack may train also counts what was trained.
        for stack in sorted(stacks):
            contest.going(stack, stacks[stack], sum(added[: number + 1]))
    if saved is not None and before:
        candidates = [candidate for _, _, candidate in _read(saved["entrants"])]
    ranked: Ranking = []
    for number in range(len(before), len(added)):
        last = number == len(added) - 1
        rung = _Rung(len(candidates) if last else max(keep, math.ceil(len(candidates) / eta)))
        if saved is not None:
            rung.restore(saved)
            saved = None
        expected = math.ceil(len(candidates) / contest.largest)
        factors = [1.0] * sum(added[: number + 1])
        for stack, members, losses in contest.losses(candidates, factors, seed=contest.seed, done=rung.done):
            rung.add(stack, members, losses.mean(1))
            watch(f"rung {number + 1} of {len(added)}", len(rung.done), max(expected, len(rung.done)))
            if checkpoint is not None and checkpoint.due():
                entrants = [] if number == 0 else [(0.0, -i, c) for i, c in enumerate(candidates)]
                checkpoint.save({"before": before, "entrants": _written(entrants), **rung.saved()})
        before.append(rung.done)
        ranked = rung.ranked()
        candidates = [candidate for candidate, _ in ranked]
    return ranked


def rescore(
    architectures: Sequence[Architecture], contest: Contest, *, epochs: int, seeds: int, watch: Watch
) -> Tensor:
    """Select loss per architecture and sample, mean over fresh seeds: (A, N).

    Each head trains anew for ``epochs`` with a cosine schedule, on other batches than in ``halve``.
    """
    factors = [0.5 * (1 + math.cos(math.pi * e / epochs)) for e in range(epochs)]
    single = torch.zeros(len(architectures), seeds, len(contest.select.target))
    members = [Candidate(a, contest.seed + 1 + s) for a in architectures for s in range(seeds)]
    expected = math.ceil(len(members) / contest.largest)
    for done, (_, stack, losses) in enumerate(contest.losses(members, factors, seed=contest.seed + 1), start=1):
        for (place, _), row in zip(stack, losses, strict=True):
            single[place // seeds, place % seeds] = row
        watch("rescore", done, max(expected, done))
    return single.mean(1)


Entry = tuple[float, int, Candidate]
"""Minus the loss, minus the place in the order of candidates, the candidate: heaps have the worst first."""


@dataclass
class _Rung:
    """A rung under way: the best so far, and how many heads the stacks had that are done."""

    limit: int
    best: list[Entry] = field(default_factory=list)
    done: dict[int, int] = field(default_factory=dict)

    def add(self, stack: int, members: Sequence[tuple[int, Candidate]], losses: Tensor) -> None:
        """What a stack came to; who diverged comes last."""
        self.done[stack] = len(members)
        for (place, candidate), loss in zip(members, losses.nan_to_num(math.inf).tolist(), strict=True):
            entry = (-loss, -place, candidate)
            if len(self.best) < self.limit:
                heapq.heappush(self.best, entry)
            elif entry[:2] > self.best[0][:2]:
                heapq.heapreplace(self.best, entry)

    def ranked(self) -> Ranking:
        """Best first; of equals, who came first."""
        return [(candidate, -loss) for loss, _, candidate in sorted(self.best, key=lambda e: e[:2], reverse=True)]

    def saved(self) -> dict[str, Any]:
        return {"best": _written(self.best), "done": self.done}

    def restore(self, saved: dict[str, Any]) -> None:
        self.best, self.done = _read(saved["best"]), saved["done"]


def _written(entries: Sequence[Entry]) -> str:
    return json.dumps([[loss, place, c.seed, c.architecture.to_json()] for loss, place, c in entries])


def _read(text: str) -> list[Entry]:
    return [(loss, place, Candidate(Architecture.from_json(a), seed)) for loss, place, seed, a in json.loads(text)]


def head_rungs(rungs: Sequence[int], contest: Contest, fewest: int = FIRST_RUNG_STEPS) -> list[int]:
    """Epochs that each rung adds; the first one has at least so many steps."""
    steps = math.ceil(len(contest.train.target) / contest.settings.batch_size)
    return [max(rungs[0], math.ceil(fewest / steps)), *rungs[1:]]


def rescore_epochs(rungs: Sequence[int], contest: Contest) -> int:
    """Epochs of scoring a survivor again: twice those of the rungs, as a cosine schedule moves half as far.

    Scored on fewer, heads that learn fast and then overfit win against those that the rungs had found better.
    """
    return 2 * sum(head_rungs(rungs, contest))
