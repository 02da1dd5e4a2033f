"""What heads train on and are compared by, and training any number of them: in stacks, on all workers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from fusionnas.device import compute_device, placed
from fusionnas.errors import FusionNASError
from fusionnas.execution.base import Call, Executor, completed
from fusionnas.execution.inline import InlineExecutor
from fusionnas.execution.shared import Shared
from fusionnas.search.cache import Cache
from fusionnas.search.heads import Candidate, Heads, HeadSettings, SequentialHeads, stackable
from fusionnas.search.stack import HeadStack, largest_stack
from fusionnas.search.stacking import Timings, stacking_pays

SAME_WIRING = 32
"""So many heads of one wiring make stacks of their own, in which no slot is empty."""

Numbered = tuple[int, Candidate]
Going = Callable[[int, int, int], bool]


@dataclass(frozen=True)
class Arena:
    """All that training a head needs besides the head; for the fields see :class:`Contest`."""

    train: Cache
    select: Cache
    settings: HeadSettings
    timings: Timings

    def losses(self, candidates: Sequence[Candidate], factors: Sequence[float], seed: int) -> Tensor:
        """Train heads of one operator sequence; their loss per select sample, (G, N)."""
        names = candidates[0].operators
        kind = HeadStack if stackable(names) and stacking_pays(self.timings, names) else SequentialHeads
        heads: Heads = kind(candidates, self.settings, self.train.points)
        device = compute_device(self.settings.device)
        with placed(device):
            heads.place(device)
            heads.fit(self.train, factors, seed=seed)
            return heads.losses(self.select)


@dataclass(frozen=True)
class Contest:
    """What heads are compared on, and the workers that train them.

    Attributes:
        train, select: cached features.
        settings: sizes and rates of the heads.
        seed: of the batches.
        timings: of stacked and sequential training; operators that are not in it are stacked if they can be.
        executor: where heads train; no result depends on it.
        going: (stack, heads, epochs) -> whether that stack may still train; once it may not, none does.
    """

    train: Cache
    select: Cache
    settings: HeadSettings
    seed: int
    timings: Timings = field(default_factory=dict)
    executor: Executor = field(default_factory=InlineExecutor)
    going: Going = field(default=lambda stack, heads, epochs: True)

    @cached_property
    def _arena(self) -> Shared[Arena]:
        return Shared(Arena(self.train, self.select, self.settings, self.timings))

    @property
    def largest(self) -> int:
        """Members of a stack at most."""
        return largest_stack(self.settings)

    def losses(
        self, candidates: Iterable[Candidate], factors: Sequence[float], *, seed: int, done: Container[int] = ()
    ) -> Iterator[tuple[int, list[Numbered], Tensor]]:
        """Train every candidate; yields, as stacks end, their number, members with their places, and losses (G, N).

        Args:
            candidates: drawn as workers need them; the stacks are a function of their order alone.
            factors: each epoch's factor on the learning rate.
            seed: of the batches.
            done: numbers of stacks to leave out.

        Raises:
            FusionNASError: a stack could not be trained.
        """
        under_way: dict[str, tuple[int, list[Numbered]]] = {}

        def calls() -> Iterator[Call]:
            for number, stack in enumerate(stacks(candidates, self.largest)):
                if not self.going(number, len(stack), len(factors)):
                    return
                if number not in done:
                    name, members = f"stack {number}", [candidate for _, candidate in stack]
                    under_way[name] = (number, stack)
                    yield Call(name, Arena.losses, (self._arena, members, list(factors), seed))

        with contextlib.closing(completed(self.executor, calls())) as ends:
            for ended in ends:
                number, stack = under_way.pop(ended.call.name)
                if ended.failure is not None:
                    head, failure = stack[0][1].architecture, ended.failure
                    raise FusionNASError(f"heads like {head} cannot be trained: {failure.text}\n{failure.traceback}")
                yield number, stack, ended.value


def stacks(candidates: Iterable[Candidate], largest: int) -> Iterator[list[Numbered]]:
    """Candidates with their places, in groups of one operator sequence and, where there are enough, of one wiring."""
    waiting: dict[tuple[str, ...], dict[object, list[Numbered]]] = {}
    for numbered in enumerate(candidates):
        alike = waiting.setdefault(numbered[1].operators, {}).setdefault(numbered[1].wiring, [])
        alike.append(numbered)
        if len(alike) == largest:
            yield list(alike)
            alike.clear()
    for wirings in waiting.values():
        same = [members for members in wirings.values() if len(members) >= SAME_WIRING]
        mixed = sorted(number for members in wirings.values() if len(members) < SAME_WIRING for number in members)
        for members in [*same, mixed]:
            parts = math.ceil(len(members) / largest)
            yield from (members[len(members) * i // parts : len(members) * (i + 1) // parts] for i in range(parts))
