"""Evolution: fusion and encoder layers mutate together, the oldest die."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping

from pydantic import Field

from fusionnas.architecture import Architecture
from fusionnas.search.evaluations import Batches, Evaluations, Trained
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.mutation import mutated
from fusionnas.search.sampled import sampled_search
from fusionnas.space.schema import Section
from fusionnas.training.randomness import derive

FACTS = MethodFacts(
    summary="children of tournament winners, mutated in fusion, encoder layers or both; the oldest leave",
    source=(
        'joint mutation: Xu et al., "MUFASA: Multimodal Fusion Architecture Search for Electronic Health Records", '
        '2021, arXiv:2102.02340; ageing: Real et al., "Regularized Evolution", 2019, arXiv:1802.01548'
    ),
    departs=(
        "children come in batches, so that heads train stacked; heads share their encoder layers, which then mutate "
        "with options.train: networks alone; one change per child and kind, no crossover"
    ),
)


class Options(Batches, Trained, Section):
    """Of the population."""

    population: int = Field(50, ge=2, description="Architectures alive at a time.", examples=[3])
    tournament: int = Field(10, ge=1, description="Draws of which the best is a parent.", examples=[1])


@register_method("evolution", FACTS, Options)
def evolution(task: Task) -> Found:
    """Regularised evolution."""
    options = task.options(Options)
    evaluations = Evaluations(task, options)
    return sampled_search(evaluations, _Population(evaluations, options, task.seed), batch=options.batch)


class _Population:
    def __init__(self, evaluations: Evaluations, options: Options, seed: int) -> None:
        self._evaluations, self._options = evaluations, options
        self._rng = random.Random(derive(seed, "evolution"))
        self._alive: deque[tuple[float, Architecture]] = deque(maxlen=options.population)

    def ask(self, count: int) -> list[Architecture]:
        missing = self._options.population - len(self._alive)
        if missing > 0:
            return [self._evaluations.draw(self._rng) for _ in range(min(count, missing))]
        return [self._evaluations.fitted(self._child()) for _ in range(count)]

    def _child(self) -> Architecture:
        drawn = [self._rng.choice(self._alive) for _ in range(self._options.tournament)]
        parent = min(drawn, key=lambda one: one[0])[1]
        return mutated(self._evaluations.task.space, parent, self._rng)

    def tell(self, losses: Mapping[Architecture, float]) -> None:
        self._alive.extend((loss, architecture) for architecture, loss in losses.items())
