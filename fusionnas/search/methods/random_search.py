"""Random search: the measure of every other method."""

from __future__ import annotations

import random as randomness
from collections.abc import Mapping

from fusionnas.architecture import Architecture
from fusionnas.search.evaluations import Evaluations, Sampling
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.sampled import sampled_search
from fusionnas.training.randomness import derive

FACTS = MethodFacts(
    summary="random architectures, each trained alone; the lowest loss leads",
    source='Li & Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", 2019, arXiv:1902.07638',
    departs="no weights are shared",
)


@register_method("random", FACTS, Sampling)
def random(task: Task) -> Found:
    """Draw, train, keep the best."""
    options = task.options(Sampling)
    evaluations = Evaluations(task, options)
    return sampled_search(evaluations, _Draws(evaluations, task.seed), batch=options.batch)


class _Draws:
    def __init__(self, evaluations: Evaluations, seed: int) -> None:
        self._evaluations, self._rng = evaluations, randomness.Random(derive(seed, "random"))

    def ask(self, count: int) -> list[Architecture]:
        return self._evaluations.unknown(count, self._rng)

    def tell(self, losses: Mapping[Architecture, float]) -> None:
        pass
