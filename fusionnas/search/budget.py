"""Budgets: how long a method may search, in seconds, epochs or full trainings (``search.budget``).

One epoch is one pass of one network, supernet or head over its training samples; one training is ``training.epochs``
of them. Before every step a method asks how much is used and stops where it is all. What a clock said is journaled, so
that a resumed run takes the same decisions as the run that was killed: the budget then holds the seconds that
both worked, without those lost in between. ``fusionnas stop RUN --take-best`` ends any search, limited or not, at its
next decision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fusionnas.search.method import Task
from fusionnas.stopping import best_asked

Pace = Callable[[int], float]
"""Step -> share of a stage that is done before it; from 1 on the stage is over."""


class Budget:
    """What a method may use, and what it has used.

    Args:
        task: its space holds the limit, its run the record of its clock.
    """

    def __init__(self, task: Task) -> None:
        limit, self._run, self._clock = task.space.file.search.budget, task.run, task.clock
        trainings = None if limit.trainings is None else limit.trainings * task.space.file.training.epochs
        self._epochs = trainings if limit.epochs is None else float(limit.epochs)
        self._seconds = limit.seconds
        clocked = task.run.recorded("budget")
        self._known: dict[tuple[str, int], float] = {(f["stage"], f["step"]): f["seconds"] for f in clocked}
        self._before, self._start = max(self._known.values(), default=0.0), self._clock()
        self.spent = 0.0
        ended = task.run.recorded("best_taken")
        self._last: dict[str, int] | None = ended[0]["last"] if ended else None
        self._taken: dict[str, int] = {}

    @property
    def ended(self) -> bool:
        """Whether somebody asked for the best so far, and a decision heard of it."""
        return self._last is not None

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return self._epochs is not None or self._seconds is not None

    @property
    def timed(self) -> bool:
        """Whether the limit is one of seconds."""
        return self._seconds is not None

    def spend(self, epochs: float) -> None:
        """A stage, or a step of one, is over; it took so many epochs."""
        self.spent += epochs

    def used(self, stage: str, step: int, *, epochs: float = 0.0) -> float:
        """Share of the budget that is used; 0 where there is no limit, at least 1 once the best so far is asked for.

        Args:
            stage, step: which decision depends on it; unique in the run.
            epochs: what the present stage has taken, as far as it is not yet spent.
        """
        if self._epochs is not None:
            share = (self.spent + epochs) / self._epochs
        else:
            share = 0.0 if self._seconds is None else self._elapsed(stage, step) / self._seconds
        return max(share, 1.0) if self._over(stage, step) else share

    def left(self) -> float | None:
        """Epochs that are left; None where they are not limited."""
        return None if self._epochs is None else max(self._epochs - self.spent, 0.0)

    def pace(self, stage: str, epochs: int, *, part: float = 1.0, stretch: bool = True) -> Pace:
        """The pace of a supernet.

        Args:
            stage: its name in the run.
            epochs: how many it takes without a limit.
            part: share of the budget that it may use.
            stretch: with a limit, the budget alone says how long it takes; False: and never more than ``epochs``.
        """

        def share(epoch: int) -> float:
            used = self.used(stage, epoch, epochs=epoch) / part
            return used if stretch and self.limited else max(used, epoch / epochs)

        return share

    def report(self) -> dict[str, Any]:
        """What was used: epochs, and seconds where they were limited."""
        seconds = {} if self._seconds is None else {"seconds": max(self._known.values(), default=0.0)}
        return {"epochs": self.spent, **seconds, **({"best_taken": True} if self.ended else {})}

    def _over(self, stage: str, step: int) -> bool:
        """Whether this decision comes after the one at which the best so far was asked for.

        The first step of every stage is taken in any case. What was decided before is journaled with the request, so
        that a resumed run decides it again as it was.
        """
        if step == 0:
            return False
        if self._last is None:
            if step <= self._taken.get(stage, 0) or not best_asked(self._run.path):
                self._taken[stage] = max(step, self._taken.get(stage, 0))
                return False
            self._last = dict(self._taken)
            self._run.record("best_taken", last=self._last)
        return step > self._last.get(stage, 0)

    def _elapsed(self, stage: str, step: int) -> float:
        if (stage, step) not in self._known:
            seconds = self._before + self._clock() - self._start
            self._run.record("budget", stage=stage, step=step, seconds=seconds)
            self._known[stage, step] = seconds
        return self._known[stage, step]
