"""The default engine: a dense mixture trains the encoders, discrete heads compete stacked and trained alone.

1. Encoders train inside the supernet with every fusion path mixed evenly (:mod:`fusionnas.search.encoders`).
2. The features of every fusion point are encoded once and standardised.
3. Hundreds of discrete heads, every single modality among them, train stacked with successive halving.
4. The survivors train again from fresh seeds; the simplest within one standard error leads the finalists
   (:mod:`fusionnas.search.ranking`).
"""

from __future__ import annotations

import random

from fusionnas.architecture import Architecture
from fusionnas.search.budget import Budget
from fusionnas.search.encoders import train_encoders
from fusionnas.search.evolving import GENERATIONS
from fusionnas.search.gradient import told
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.pool import pool
from fusionnas.search.ranking import rank_heads
from fusionnas.training.randomness import derive

FACTS = MethodFacts(
    summary="dense mixture trains encoders; stacked stand-alone heads with halving; fresh-seed rescoring",
    source=(
        'encoders: Bender et al., "Understanding and simplifying one-shot architecture search", ICML 2018; '
        'halving: Jamieson & Talwalkar, 2016, arXiv:1502.07943; layer choices: DARTS, arXiv:1806.09055'
    ),
    departs=(
        "no path is dropped and no fusion alpha is learned; the supernet only trains encoders and never ranks; heads "
        "are ranked by stand-alone training, all heads of one operator sequence in one pass"
    ),
)


@register_method("default", FACTS)
def default(task: Task) -> Found:
    """See the module."""
    budget = Budget(task)
    encoders = train_encoders(task, budget)
    search, rng = task.space.file.search, random.Random(derive(task.seed, "pool"))
    heads = {"all": None, "sample": search.heads, "evolve": search.heads // GENERATIONS}[search.pool]
    ranking = rank_heads(
        task, encoders.supernet, encoders.layers,
        lambda: pool(task.space, encoders.layers, heads=heads, rng=rng), budget,
    )  # fmt: skip
    finalists = tuple(Architecture.from_json(data) for data in ranking["finalists"])
    facts = {key: value for key, value in ranking.items() if key != "finalists"}
    return Found(finalists, encoders.layers, {**told(task.space, encoders.history), **facts, "spent": budget.report()})
