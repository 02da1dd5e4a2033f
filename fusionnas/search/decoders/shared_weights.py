"""Shared weights: architectures evolve, each scored by the supernet at its one-hot weights."""

from __future__ import annotations

import itertools
import random

from fusionnas.architecture import Architecture
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.decoder import Decoded, Learned, register_decoder
from fusionnas.search.gradient import supernet_loss
from fusionnas.search.method import Facts
from fusionnas.supernet import one_hot
from fusionnas.training.randomness import derive

FACTS = Facts(
    summary="evolution over the space, scored on select with the supernet's own weights; nothing is trained",
    source='Guo et al., "Single Path One-Shot NAS with Uniform Sampling", 2020, arXiv:1904.00420, section 3.2',
    departs="mutation alone, one change of an architecture each, a fresh one where the child is known; no crossover; "
    "20 parents, 10 generations of 20, or as many as a budget of seconds pays for",
)
_PARENTS, _CHILDREN, _GENERATIONS = 20, 20, 10


@register_decoder("shared_weights", FACTS, share=0.3)
def shared_weights(learned: Learned) -> Decoded:
    """As many finalists as ``search.finalists``, the lowest loss first."""
    task, space, supernet = learned.task, learned.task.space, learned.training.supernet

    def score(architecture: Architecture) -> float:
        return float(supernet_loss(supernet, one_hot(space, architecture), task.data.select).mean())

    def compute(checkpoint: Checkpoint) -> Result:
        rng, losses = random.Random(derive(task.seed, "shared weights")), dict[Architecture, float]()
        for generation in itertools.count() if learned.budget.timed else range(_GENERATIONS):
            known = len(losses)
            if generation and learned.budget.used("shared weights", generation) >= 1:
                break
            best = sorted(losses, key=losses.__getitem__)[:_PARENTS]
            for _ in range(_CHILDREN):
                child = rng.choice(list(space.neighbours(rng.choice(best)))) if best else space.sample(rng)
                child = space.sample(rng) if child in losses else child
                if child not in losses:
                    losses[child] = score(child)
            task.progress.advance({"best": min(losses.values())})
            if len(losses) == known:  # hardly any is left to score
                break
        ranked = sorted(losses, key=losses.__getitem__)[: space.file.search.finalists]
        return Result({"finalists": [a.to_json() for a in ranked], "losses": [losses[a] for a in ranked],
                       "scored": len(losses)})  # fmt: skip

    task.progress.stage("shared weights", _GENERATIONS)
    facts = task.run.unit("search/shared_weights", compute).facts
    finalists = tuple(Architecture.from_json(data) for data in facts["finalists"])
    return Decoded(finalists, {"scored": facts["scored"], "shared_losses": facts["losses"]})
