"""Gates for the found architecture: which, how its networks are trained with them, and what they save."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fusionnas.architecture import Architecture
from fusionnas.data.base import Part
from fusionnas.feature import Feature
from fusionnas.gates.choice import with_gates
from fusionnas.gates.network import GatedNetwork
from fusionnas.gates.spending import Spending, shares
from fusionnas.network import FusionNetwork
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.training.gated import GatedTraining
from fusionnas.training.recipe import Recipe
from fusionnas.training.train import Schedule

if TYPE_CHECKING:
    from fusionnas.search.method import Problem, Task
    from fusionnas.search.retrain import Retrained

ROUNDS = 30


def gated(task: Task, architecture: Architecture) -> Architecture:
    """The architecture with the gates that the space asks for, where they can save anything."""
    level, costs = task.space.file.fusion.gates.level, task.problem.costs
    return architecture if costs is None or level == "none" else with_gates(architecture, costs, level)


def gated_training(problem: Problem, architecture: Architecture, schedule: Schedule) -> GatedTraining:
    """What a gated network is trained on: weights on train, or train + select in a refit; gates on alpha in any case.

    A gate that sees samples on which the weights were trained finds every branch certain.
    """
    data, file, costs = problem.data, problem.space.file, problem.costs
    assert costs is not None, "gates are chosen by measured costs"
    part = data.train if schedule.select is not None else Part.concat(data.train, data.select)
    recipe, spending = Recipe.of(problem.space), Spending.of(architecture, costs)
    return GatedTraining(part, data.alpha, schedule, file.fusion.gates, spending, recipe)


def gate_facts(task: Task, trained: Retrained, ungated: Retrained | None) -> dict[str, Any]:
    """What the gates of a final network do on select, and milliseconds per batch beside the ungated one.

    Times are measured side by side, batch after batch, once per run.
    """
    gates, costs, inputs = trained.architecture.gates, task.problem.costs, task.data.select.inputs
    assert gates is not None and costs is not None

    def compute(checkpoint: Checkpoint) -> Result:
        network = trained.network(task.problem)
        assert isinstance(network, GatedNetwork)
        spending = Spending.of(trained.architecture, costs)
        spent = {}
        if ungated is not None:
            other, sizes = ungated.network(task.problem), dict.fromkeys((1, costs.batch))
            spent = {str(size): side_by_side(network, other, inputs, size) for size in sizes}
        return Result({**shares(network, inputs, spending), "milliseconds": spent})

    facts = task.run.unit("gates", compute).facts
    return {"level": task.space.file.fusion.gates.level, **gates.to_json(), **facts}


@torch.no_grad()
def side_by_side(
    network: FusionNetwork, other: FusionNetwork, inputs: Mapping[str, Feature], size: int, *, rounds: int = ROUNDS
) -> dict[str, float]:
    """Mean milliseconds per batch of two networks, in turn on the same batches; the slowest fifth is left out.

    The mean, since a gated network's time differs from batch to batch; without the slowest, which the machine's other
    work made slow.
    """
    count = len(next(iter(inputs.values())).present)
    times: dict[str, list[float]] = {"gated": [], "ungated": []}
    for turn in range(rounds):
        rows = torch.arange(turn * size, (turn + 1) * size) % count
        batch = {name: feature.rows(rows) for name, feature in inputs.items()}
        for name, one in (("gated", network), ("ungated", other)):
            start = time.perf_counter()
            one(batch)
            times[name].append(1000 * (time.perf_counter() - start))
    kept = rounds - rounds // 5
    return {name: float(np.mean(sorted(spent)[:kept])) for name, spent in times.items()}
