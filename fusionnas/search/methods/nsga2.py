"""NSGA-II: a population that spreads along the front of loss and costs."""

from __future__ import annotations

import random
from collections.abc import Mapping

from pydantic import Field

from fusionnas.architecture import Architecture
from fusionnas.search.evaluations import Batches, Evaluations, Trained
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.mutation import mutated
from fusionnas.search.objective import Judge
from fusionnas.search.pareto import crowding, ranks
from fusionnas.search.sampled import sampled_search
from fusionnas.space.schema import Section
from fusionnas.training.randomness import derive

FACTS = MethodFacts(
    summary="evolution that keeps what nothing beats in loss and all costs, spread out; constraints go first",
    source='Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", 2002, '
    "doi:10.1109/4235.996017",
    departs=(
        "children are mutations (fusion, encoder layers or both), without crossover; without search.objective the "
        "objectives are loss and parameters"
    ),
)


class Options(Batches, Trained, Section):
    """Of the population."""

    population: int = Field(50, ge=2, description="Architectures that survive a generation.", examples=[2])


@register_method("nsga2", FACTS, Options)
def nsga2(task: Task) -> Found:
    """The front of all that was trained."""
    options = task.options(Options)
    evaluations = Evaluations(task, options)
    evaluations.judge.costs = evaluations.judge.costs or ("parameters",)
    return sampled_search(evaluations, _Population(evaluations, options, task.seed), batch=options.batch)


class _Population:
    def __init__(self, evaluations: Evaluations, options: Options, seed: int) -> None:
        self._evaluations, self._size = evaluations, options.population
        self._rng = random.Random(derive(seed, "nsga2"))
        self._losses: dict[Architecture, float] = {}
        self._order: dict[Architecture, tuple[float, ...]] = {}

    def ask(self, count: int) -> list[Architecture]:
        missing = self._size - len(self._losses)
        if missing > 0:
            return self._evaluations.unknown(min(count, missing), self._rng)
        return [self._evaluations.fitted(self._child()) for _ in range(count)]

    def _child(self) -> Architecture:
        alive = list(self._losses)
        parent = min(self._rng.choice(alive), self._rng.choice(alive), key=self._order.__getitem__)
        return mutated(self._evaluations.task.space, parent, self._rng)

    def tell(self, losses: Mapping[Architecture, float]) -> None:
        self._losses |= losses
        self._order = order(self._evaluations.judge, self._losses)
        kept = sorted(self._losses, key=self._order.__getitem__)[: self._size]
        self._losses = {architecture: self._losses[architecture] for architecture in kept}


def order(judge: Judge, losses: Mapping[Architecture, float]) -> dict[Architecture, tuple[float, ...]]:
    """Keys by which to sort: what misses the constraints least, then the rank of the front, then the least crowded."""
    members = list(losses)
    points = [judge.values(a, losses[a]) for a in members]
    found, keys = ranks(points), dict[Architecture, tuple[float, ...]]()
    for rank in sorted(set(found)):
        front = [i for i in range(len(members)) if found[i] == rank]
        distances = crowding([points[i] for i in front])
        keys |= {members[i]: (judge.excess(members[i]), rank, -d) for i, d in zip(front, distances, strict=True)}
    return keys
