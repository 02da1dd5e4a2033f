"""What a budget leaves for ranking heads: how many compete, how many are scored again, and when the clock says no."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fusionnas.search.budget import Budget
from fusionnas.search.pool import Pool

_FEWEST = 3  # heads that are scored again whatever the clock says
_RESCORING = 0.25  # share of what is left that scoring again may take
_SHARES = (0.65, 0.85)  # share of a budget of seconds up to which the first rung, and any later one, takes new stacks


@dataclass(frozen=True)
class Costs:
    """Epochs that ranking takes.

    Attributes:
        rungs: epochs up to the end of each rung; who goes on trains anew.
        eta, keep: one in ``eta`` goes on, at least ``keep``.
        rescoring: epochs of scoring one head again, over all seeds.
    """

    rungs: Sequence[int]
    eta: int
    keep: int
    rescoring: int

    def halving(self, heads: int) -> int:
        """Epochs of all rungs for so many heads."""
        total = 0
        for epochs in self.rungs:
            total += heads * epochs
            heads = min(heads, max(self.keep, math.ceil(heads / self.eta)))
        return total


class Allowance:
    """What a budget pays for; :class:`fusionnas.search.contest.Contest` asks it before each stack of heads.

    Epochs are planned ahead. Seconds are looked at before each stack, and what scoring again takes is guessed from
    what the stacks before took.

    Args:
        budget: what is left of it.
        costs: of ranking.
        heads: how many would compete.
        again: how many would be scored again.

    Attributes:
        heads: how many compete.
    """

    def __init__(self, budget: Budget, costs: Costs, *, heads: int, again: int) -> None:
        self._budget, self._costs = budget, costs
        self._calls: Counter[int] = Counter()
        self._trained, self._start = 0, budget.used("heads", 0)
        self.heads, self._again = heads, again
        if (left := budget.left()) is not None:
            self._again = min(again, int(left * _RESCORING / costs.rescoring))
            room = left - self._again * costs.rescoring
            most = min(heads, int(room // costs.rungs[0]))
            self.heads = next((n for n in range(most, 0, -1) if costs.halving(n) <= room), 0)

    def __call__(self, stack: int, heads: int, epochs: int) -> bool:
        """Whether stack number ``stack`` of so many heads may train for so many epochs; the first one always may."""
        self._calls[epochs] += stack == 0
        used = self._budget.used(f"heads {epochs}.{self._calls[epochs]}", stack)
        most = _SHARES[epochs > self._costs.rungs[0]] if self._budget.timed else 1.0
        going = stack == 0 or used < most
        self._trained += heads * epochs * going
        return going

    def again(self) -> int:
        """How many heads are scored again."""
        if self._budget.ended:
            return min(self._again, _FEWEST)
        if not self._budget.timed:
            return self._again
        used = self._budget.used("heads again", 0)
        # Stacks of few heads take about twice as long per head.
        share = 2 * (used - self._start) / max(self._trained, 1) * self._costs.rescoring
        return min(self._again, max(_FEWEST, int((1 - used) / share))) if share > 0 else self._again

    def epochs(self, again: int) -> int:
        """What was taken, with so many heads scored again."""
        trained = self._trained if self._budget.timed or self._budget.ended else self._costs.halving(self.heads)
        return trained + again * self._costs.rescoring


def first(pool: Pool, heads: int) -> Pool:
    """The first so many of a pool, references before all others."""
    if heads >= len(pool):
        return pool
    kept = tuple(itertools.islice(pool, heads))
    count = min(heads, len(pool.references))
    return replace(pool, references=kept[:count], rest=kept[count:])
