"""Candidates of sampled methods: discrete architectures that train alone, and what their training costs.

``heads``: fusion heads on features that are encoded once, by encoders from a dense mixture
(:mod:`fusionnas.search.encoders`); many train stacked. ``networks``: whole networks end to end, encoder layers among
the choices; their trainings are those of finalists, so what leads here is not trained again.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field

from fusionnas.architecture import Architecture
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.budget import Budget
from fusionnas.search.contest import Contest
from fusionnas.search.encoders import Encoders, train_encoders
from fusionnas.search.front import proposed
from fusionnas.search.gradient import told
from fusionnas.search.heads import Candidate
from fusionnas.search.method import Found, Task
from fusionnas.search.objective import Judge
from fusionnas.search.ranking import head_contest
from fusionnas.search.references import sources
from fusionnas.search.retrain import Job, attempt, held_out_losses
from fusionnas.space.schema import Section

_AT_ONCE = {"heads": 64, "networks": 8}  # candidates per step, at least that many where there are; budgets are kept to
_TRIES = 20  # draws per unknown candidate
_TOLD = 12  # best candidates that results.json lists


class Trained(BaseModel):
    """How candidates are trained: options of every sampled method."""

    train: Literal["heads", "networks"] = Field(
        "heads", description="What is trained: heads on encoded features, or whole networks.", examples=["networks"]
    )
    candidates: int | None = Field(
        None, ge=1, description="Candidates to train without a budget; none: search.heads.", examples=[3]
    )
    epochs: int = Field(8, ge=1, description="Epochs of a head; networks take training.epochs.", examples=[3])
    steps: int = Field(70, ge=1, description="Fewest steps of a head; shorter ones mislead.", examples=[200])


class Batches(BaseModel):
    """How many candidates a method asks for at a time."""

    batch: int = Field(40, ge=1, description="Candidates that are asked for at a time.", examples=[2])


class Sampling(Batches, Trained, Section):
    """Options of methods that only draw."""


Encode = Callable[[Task, Budget], Encoders]


@dataclass(frozen=True)
class Score:
    """What a candidate's training gave: mean loss on select after so many epochs."""

    loss: float
    epochs: int


class Evaluations:
    """Trains what a method asks for, as far as the budget goes.

    Args:
        task: what is searched.
        options: how candidates are trained.
        encode: trains the encoders of heads; default: in a dense mixture.
    """

    def __init__(self, task: Task, options: Trained, encode: Encode = train_encoders) -> None:
        self.task, self.options, self.budget = task, options, Budget(task)
        self.judge = Judge(task)
        self.scores: dict[Architecture, Score] = {}
        self.curve: list[tuple[float, float]] = []
        self._steps = 0
        self._encoders = encode(task, self.budget) if options.train == "heads" else None
        task.progress.stage("candidates", self.most)

    @property
    def most(self) -> int:
        """How many candidates to train where no budget says it."""
        return self.options.candidates or self.task.space.file.search.heads

    @property
    def over(self) -> bool:
        """Whether the budget is used, or without one, as many are trained as asked."""
        if self.scores and self.budget.used("candidates", self._steps) >= 1:
            return True
        return not self.budget.limited and len(self.scores) >= self.most

    def epochs(self, wanted: int | None = None) -> int:
        """Epochs of a training for which ``wanted`` (default: the option) are wanted: heads have a least number."""
        if self._encoders is None:
            return self.task.space.file.training.epochs
        samples, size = len(self.task.data.train) + len(self.task.data.alpha), self.task.space.file.training.batch_size
        return max(wanted or self.options.epochs, math.ceil(self.options.steps / math.ceil(samples / size)))

    def fitted(self, architecture: Architecture) -> Architecture:
        """The same fusion with the encoder layers that heads have; networks choose their own."""
        if self._encoders is None:
            return architecture
        return self.task.space.architecture(architecture.nodes, architecture.output, self._encoders.layers)

    def draw(self, rng: random.Random) -> Architecture:
        """A random candidate."""
        return self.fitted(self.task.space.sample(rng))

    def unknown(self, count: int, rng: random.Random) -> list[Architecture]:
        """So many random candidates that were not trained yet; fewer where the space hardly has them.

        What breaks a constraint is taken only where nothing else comes up.
        """
        found: dict[Architecture, None] = {}
        others: dict[Architecture, None] = {}
        for _ in range(count * _TRIES):
            if len(found) == count:
                break
            if (drawn := self.draw(rng)) not in self.scores:
                (found if self.judge.keeps(drawn) else others)[drawn] = None
        return [*found, *others][:count]

    def train(self, architectures: Sequence[Architecture], epochs: int | None = None) -> list[Architecture]:
        """Train them, those few last that the budget leaves out; the ones that now have a score for ``epochs``."""
        length = self.epochs(epochs)
        for chunk in self._chunks(list(dict.fromkeys(architectures)), length):
            losses = self._losses(chunk, length)
            for architecture, loss in zip(chunk, losses, strict=True):
                if architecture not in self.scores or self.scores[architecture].epochs <= length:
                    self.scores[architecture] = Score(loss, length)
            self.budget.spend(length * len(chunk))
            self.curve.append((self.budget.spent, self.scores[self.ranked()[0]].loss))
            self.task.progress.advance({"best": self.curve[-1][1], "trained": len(self.scores)})
        return [a for a in architectures if a in self.scores and self.scores[a].epochs >= length]

    def ranked(self) -> list[Architecture]:
        """Best first: those trained longest, by loss, then the others."""
        return sorted(self.scores, key=lambda a: (-self.scores[a].epochs, self.scores[a].loss))

    def found(self, **facts: Any) -> Found:
        """The best so far, and how it went."""
        space, ranked = self.task.space, self.ranked()
        history = [] if self._encoders is None else self._encoders.history
        shortlist = [
            {"id": a.id, "architecture": str(a), "modalities": len(sources(space, a)), "loss": self.scores[a].loss}
            for a in ranked[:_TOLD]
        ]
        layers = {name: m.encoder[:1] * m.levels for name, m in space.file.modalities.items()}
        if self._encoders is not None:
            layers = self._encoders.layers
        else:
            layers |= {name: (*chosen, *layers[name][len(chosen) :]) for name, chosen in ranked[0].layers}
        finalists, front = proposed(self.judge, {a: self.scores[a].loss for a in ranked}, space.file.search.finalists)
        return Found(finalists, layers, {
            **told(space, history), "contestants": len(ranked), "shortlist": shortlist, **front,
            "progress": [list(point) for point in self.curve], "spent": self.budget.report(), **facts,
        })  # fmt: skip

    def _chunks(self, members: list[Architecture], epochs: int) -> Iterator[list[Architecture]]:
        """Members in steps; heads of one form side by side. Ends where the budget does, but not before a first one."""
        size, waiting = _AT_ONCE[self.options.train], sorted(members, key=lambda a: [n.operator for n in a.nodes])
        while waiting:
            self._steps += 1
            used = self.budget.used("candidates", self._steps)
            left = self.budget.left()
            room = size if left is None else min(size, int(left // epochs))
            if not self.scores:
                room = max(room, 1)
            if room == 0 or (used >= 1 and self.scores):
                return
            yield waiting[:room]
            waiting = waiting[room:]

    def _losses(self, chunk: list[Architecture], epochs: int) -> list[float]:
        """Mean loss on select of each; infinite for one that could not be trained."""
        if self._encoders is None:
            done = attempt(self.task, [Job(a, 0) for a in chunk], needed=False)
            found = {job.architecture: float(held_out_losses(self.task, [one]).mean()) for job, one in done.items()}
            return [found.get(a, math.inf) for a in chunk]

        def compute(checkpoint: Checkpoint) -> Result:
            members = [Candidate(a, self.task.seed) for a in chunk]
            losses = [math.inf] * len(chunk)
            for _, stack, found in self._contest.losses(members, [1.0] * epochs, seed=self.task.seed):
                for (place, _), loss in zip(stack, found.mean(1).nan_to_num(math.inf).tolist(), strict=True):
                    losses[place] = loss
            return Result({"losses": losses})

        losses: list[float] = self.task.run.unit(f"search/candidates/{self._steps:05d}", compute).facts["losses"]
        return losses

    @functools.cached_property
    def _contest(self) -> Contest:
        assert self._encoders is not None
        return head_contest(self.task, self._encoders.supernet, self._encoders.layers)
