"""Hyperband: brackets that hedge between many short trainings and few long ones."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from fusionnas.architecture import Architecture
from fusionnas.search.evaluations import Evaluations
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.methods.halving import Options, Rungs, bracket, rung_epochs
from fusionnas.training.randomness import derive

FACTS = MethodFacts(
    summary="brackets of successive halving, from many candidates with short rungs to few with long ones",
    source='Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", 2018, '
    "arXiv:1603.06560",
    departs="as halving; sweeps over the brackets are repeated until enough is trained or the budget is used",
)


@register_method("hyperband", FACTS, Options)
def hyperband(task: Task) -> Found:
    """Random candidates."""
    options = task.options(Options)
    evaluations = Evaluations(task, options)
    rng = random.Random(derive(task.seed, "hyperband"))
    return sweeps(evaluations, options, lambda count: evaluations.unknown(count, rng))


def sweeps(
    evaluations: Evaluations, options: Rungs, propose: Callable[[int], list[Architecture]], **facts: Any
) -> Found:
    """Hyperband's brackets over and over, filled by ``propose``, which is asked for a number of candidates."""
    rungs, idle = rung_epochs(evaluations, options.eta), 0
    while not evaluations.over and idle < len(rungs):
        for skipped in range(len(rungs)):
            if evaluations.over:
                break
            left = len(rungs) - skipped
            count = math.ceil(len(rungs) / left * options.eta ** (left - 1))
            if not evaluations.budget.limited:
                count = min(count, evaluations.most - len(evaluations.scores))
            new = [a for a in dict.fromkeys(propose(count)) if a not in evaluations.scores]
            idle = 0 if new else idle + 1
            bracket(evaluations, new, rungs[skipped:], options.eta)
    return evaluations.found(rungs=rungs, **facts)
