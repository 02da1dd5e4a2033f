"""Population-based training of searches: all members get longer and longer searches, the worst become like the best."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

from fusionnas.space.schema import Range
from fusionnas.studies.ranges import Values
from fusionnas.training.randomness import derive

_QUARTER = 0.25
_AGAIN = 0.25
"""How often a value is drawn anew instead of changed a little."""
_FACTORS = (0.8, 1.2)


class Population:
    """Generations of searches: Jaderberg et al., "Population based training of neural networks", arXiv:1711.09846.

    Truncation selection: after a generation, each member of the worst quarter, and each that failed, goes on from a
    random one of the best quarter (exploit), its values changed a little (explore). Departs from the paper: a search
    hands on the architecture that it found, not weights; networks are trained anew, so values hold for whole trainings.

    Args:
        members: how many; every generation has as many searches.
        generations: how many.
        seed: of parents and changes.
    """

    def __init__(self, members: int, generations: int, *, seed: int) -> None:
        self._members, self._generations, self._seed = members, generations, seed
        self._losses: list[dict[int, float]] = [{} for _ in range(generations)]
        self._place = 0

    def next(self, *, last: bool) -> tuple[int, int] | None:
        """(member, generation) that is searched next; None until the generation before is known, and at the end.

        Args:
            last: does not matter here.
        """
        generation, member = divmod(self._place, self._members)
        if generation == self._generations:
            return None
        if generation and (len(self._losses[generation - 1]) < self._members or not self._alive(generation - 1)):
            return None
        self._place += 1
        return member, generation

    def observe(self, member: int, generation: int, loss: float | None) -> None:
        """What came of it; None: it failed."""
        self._losses[generation][member] = math.inf if loss is None else loss

    def parent(self, member: int, generation: int) -> int:
        """The member of the generation before that this one goes on from: itself, or one of the best."""
        losses = self._losses[generation - 1]
        ranked = sorted(losses, key=lambda n: (losses[n], n))
        count = min(math.ceil(self._members * _QUARTER), self._members // 2)
        worst = {*ranked[self._members - count :], *(n for n in losses if losses[n] == math.inf)}
        best = [n for n in ranked[: max(count, 1)] if losses[n] < math.inf]
        return self._dice(member, generation).choice(best) if member in worst else member

    def explored(self, values: Values, ranges: Mapping[str, Any], member: int, generation: int) -> Values:
        """The parent's values, each changed a little, or sometimes drawn anew."""
        dice = self._dice(member, generation, "explore")
        return {key: _changed(value, ranges[key], dice) for key, value in values.items()}

    def _alive(self, generation: int) -> bool:
        return any(loss < math.inf for loss in self._losses[generation].values())

    def _dice(self, *names: object) -> random.Random:
        return random.Random(derive(self._seed, "population", *names))


def _changed(value: Any, extent: Range | tuple[Any, ...], dice: random.Random) -> Any:
    anew = dice.random() < _AGAIN
    if not isinstance(extent, Range):
        place = extent.index(value) + dice.choice((-1, 1))
        return dice.choice(extent) if anew else extent[min(max(place, 0), len(extent) - 1)]
    if anew and extent.log:
        found = math.exp(dice.uniform(math.log(extent.low), math.log(extent.high)))
    else:
        found = dice.uniform(extent.low, extent.high) if anew else value * dice.choice(_FACTORS)
    found = min(max(found, extent.low), extent.high)
    return round(found) if isinstance(extent.low, int) and isinstance(extent.high, int) else float(found)
