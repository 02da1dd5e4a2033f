"""Successive halving: many candidates train a little, the better ones longer."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pydantic import BaseModel, Field

from fusionnas.architecture import Architecture
from fusionnas.search.evaluations import Evaluations, Trained
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.space.schema import Section
from fusionnas.training.randomness import derive

FACTS = MethodFacts(
    summary="random candidates in one bracket of rungs; one in eta goes on, trained eta times as long",
    source='Jamieson & Talwalkar, "Non-stochastic Best Arm Identification", 2016, arXiv:1502.07943',
    departs=(
        "who goes on trains anew for all epochs up to the next rung, as heads are only kept as losses; with a budget, "
        "brackets are repeated until it is used"
    ),
)


class Rungs(BaseModel):
    """How long the rungs are."""

    epochs: int = Field(27, ge=1, description="Epochs of the last rung.", examples=[9])
    eta: int = Field(3, ge=2, description="One in eta goes on.", examples=[2])


class Options(Rungs, Trained, Section):
    """Of methods that halve."""


@register_method("halving", FACTS, Options)
def halving(task: Task) -> Found:
    """Brackets of random candidates."""
    options = task.options(Options)
    evaluations = Evaluations(task, options)
    rng, rungs = random.Random(derive(task.seed, "halving")), rung_epochs(evaluations, options.eta)
    while not evaluations.over and (drawn := evaluations.unknown(evaluations.most, rng)):
        bracket(evaluations, drawn, rungs, options.eta)
        if not evaluations.budget.limited:
            break
    return evaluations.found(rungs=rungs)


def rung_epochs(evaluations: Evaluations, eta: int) -> list[int]:
    """Epochs of every rung, shortest first: the last, a part 1 / eta of it, and so on while heads may be so short."""
    rungs, last = list[int](), evaluations.epochs()
    while not rungs or (last >= 1 and evaluations.epochs(last) < rungs[0]):
        rungs.insert(0, evaluations.epochs(last))
        last //= eta
    return rungs


def bracket(
    evaluations: Evaluations, members: Sequence[Architecture], rungs: Sequence[int], eta: int
) -> list[list[Architecture]]:
    """Train members by rungs, one in ``eta`` (at least one) going on; who was trained in each rung, best first."""
    trained = list[list[Architecture]]()
    for number, epochs in enumerate(rungs):
        if number:
            members = trained[-1][: max(1, len(trained[-1]) // eta)]
        done = evaluations.train(members, epochs)
        if not done:
            break
        trained.append(sorted(done, key=lambda a: evaluations.scores[a].loss))
    return trained
