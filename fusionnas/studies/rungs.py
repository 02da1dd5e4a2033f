"""How much of a search a trial gets: all of it, or a ninth and, while it is among the best, a third and all of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, get_args

from fusionnas.errors import InputError
from fusionnas.space import SearchSpace
from fusionnas.studies.ranges import varied

Scheduler = Literal["asha", "pbt", "none"]
ETA = 3
"""One in so many trials goes on to the next rung, which searches so many times as long."""
_RUNGS = 3
_CUT = (
    "training.epochs", "pretrain.epochs", "search.epochs", "search.heads", "search.options.candidates",
    "search.budget.epochs", "search.budget.seconds",
)  # fmt: skip
"""What makes a search longer; ``search.budget.trainings`` counts in ``training.epochs``."""


def shares_of(scheduler: str) -> tuple[Fraction, ...]:
    """The rungs: shares of a search, in growing order; the last is all of it.

    Raises:
        InputError: no scheduler of that name.
    """
    if scheduler not in get_args(Scheduler):
        raise InputError(f"--scheduler: given '{scheduler}', expected one of {', '.join(get_args(Scheduler))}")
    rungs = 1 if scheduler == "none" else _RUNGS
    return tuple(Fraction(1, ETA**k) for k in reversed(range(rungs)))


def shortened(space: SearchSpace, share: Fraction) -> SearchSpace:
    """The space with a share of the epochs, candidates and budget of its search; at least one of each."""
    if share == 1:
        return space
    data = space.file.model_dump(mode="json")
    whole = {key: value for key in _CUT if (value := _at(data, key)) is not None}
    return varied(space, {key: _part(value, share) for key, value in whole.items()})


def _part(value: int | float, share: Fraction) -> int | float:
    return math.ceil(value * share) if isinstance(value, int) else float(value * share)


def _at(data: Any, key: str) -> Any:
    """The value of a dotted key; None where there is none."""
    for part in key.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data


@dataclass
class _Rung:
    losses: dict[int, float] = field(default_factory=dict)
    promoted: set[int] = field(default_factory=set)

    def best(self, count: int) -> int | None:
        """The best trial that may go on, if ``count`` may in all."""
        ranked = sorted(self.losses, key=lambda number: (self.losses[number], number))[:count]
        return next((n for n in ranked if n not in self.promoted and self.losses[n] < math.inf), None)


class Halving:
    """Asynchronous successive halving: Li et al., "A system for massively parallel hyperparameter tuning", MLSys 2020.

    A trial goes on as soon as it is in the best third of those known on its rung; where none is, a new one begins
    (Algorithm 2 of the paper). Where no trial of a small study comes to the last rung that way, the best does.

    Args:
        trials: how many begin.
        rungs: how many there are; with one, trials begin one after the other, and that is all.
    """

    def __init__(self, trials: int, rungs: int) -> None:
        self._trials, self._begun = trials, 0
        self._rungs = [_Rung() for _ in range(rungs)]

    def next(self, *, last: bool) -> tuple[int, int] | None:
        """(trial, rung) that is searched next; None: nothing before more is known.

        Args:
            last: nothing is under way, so no more will be known.
        """
        for index in reversed(range(len(self._rungs) - 1)):
            if (number := self._rungs[index].best(len(self._rungs[index].losses) // ETA)) is not None:
                return self._promote(number, index)
        if self._begun < self._trials:
            self._begun += 1
            return self._begun - 1, 0
        return self._rescued() if last else None

    def observe(self, number: int, rung: int, loss: float | None) -> None:
        """What came of it; None: it failed."""
        self._rungs[rung].losses[number] = math.inf if loss is None else loss

    def _promote(self, number: int, rung: int) -> tuple[int, int]:
        self._rungs[rung].promoted.add(number)
        return number, rung + 1

    def _rescued(self) -> tuple[int, int] | None:
        """The best of the highest rung, where none has come to the last one."""
        if any(loss < math.inf for loss in self._rungs[-1].losses.values()):
            return None
        for index in reversed(range(len(self._rungs) - 1)):
            if (number := self._rungs[index].best(len(self._rungs[index].losses))) is not None:
                return self._promote(number, index)
        return None
