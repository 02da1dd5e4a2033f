"""What cost adds to the loss of architecture parameters, and the measuring that comes before a search."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusionnas.cost import Costs, expected_cost, measure_costs
from fusionnas.data.base import SearchData
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.references import named
from fusionnas.supernet import Mixing

if TYPE_CHECKING:
    from fusionnas.run import Run
    from fusionnas.search.method import Problem
    from fusionnas.space import SearchSpace


def measured_costs(space: SearchSpace, data: SearchData, run: Run) -> Costs:
    """Costs of the space on this machine, measured once per run: a resumed run goes on with the same numbers."""

    def compute(checkpoint: Checkpoint) -> Result:
        layers = {name: modality.encoder[:1] * modality.levels for name, modality in space.file.modalities.items()}
        references = named(space, layers).values()
        batch = space.file.search.cost.batch_size
        return Result(measure_costs(space, data.signature, batch=batch, also=references).to_json())

    return Costs.from_json(run.unit("cost", compute).facts)


def price(problem: Problem, start: Mixing) -> Callable[[Mixing], Tensor]:
    """What the expected cost of a mixture adds to the loss, differentiable; zero where cost does not count.

    ``weight`` times the cost as a share of what ``start`` costs; with a target, only of what is above it
    (cf. Wu et al., "FBNet", 2019, arXiv:1812.03443, equation 2, which takes a power of the cost in the log domain).

    Args:
        problem: space, with its section search.cost, and measured costs.
        start: the undecided mixture.
    """
    cost, costs = problem.space.file.search.cost, problem.costs
    if costs is None or not cost.weight:
        return lambda mixing: torch.zeros(())
    expected = expected_cost(problem.space, costs, cost.measure)
    with torch.no_grad():
        whole = float(expected(start))

    def add(mixing: Mixing) -> Tensor:
        return cost.weight * (expected(mixing) - (cost.target or 0.0)).clamp_min(0.0) / whole

    return add
