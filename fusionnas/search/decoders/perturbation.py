"""Perturbation: a choice is worth what its loss costs the supernet."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import torch

from fusionnas.architecture import Architecture
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.decoder import Decoded, Learned, register_decoder
from fusionnas.search.gradient import Moment, Relaxed, Row, SupernetTraining, supernet_loss
from fusionnas.search.method import Facts
from fusionnas.search.ranks import train_supernet
from fusionnas.supernet import Alphas, choices, discretize
from fusionnas.training.randomness import derive

FACTS = Facts(
    summary="choice by choice, keeps what the supernet misses most on the alpha part, training on in between",
    source='Wang et al., "Rethinking Architecture Selection in Differentiable NAS", 2021, arXiv:2108.04392',
    departs=(
        "one epoch of training between two choices instead of five; the loss on the alpha part counts, not the "
        "accuracy; weights of what is left are relaxed anew; inputs of a node stay distinct"
    ),
)
Place = tuple[str, int]  # group and row
_LATE = 0.75  # share at which the supernet trains on: learning rates of a late epoch


@register_decoder("perturbation", FACTS, share=0.4)
def perturbation(learned: Learned) -> Decoded:
    """One finalist."""
    task, before = learned.task, learned.training
    supernet, alphas, seed = before.supernet, before.alphas, derive(task.seed, "perturbation")
    order = [(group, row) for group, rows in learned.mixing.groups().items() for row in range(len(rows))]
    random.Random(seed).shuffle(order)
    left = learned.budget.left()
    at_once = 1 if left is None else max(1, math.ceil(len(order) / max(left, 1)))

    def after(moment: Moment) -> Row:
        return {"decided": [_decide(moment, before.relaxed, place) for place in _undecided(alphas, order)[:at_once]]}

    relaxed = replace(
        before.relaxed, learned=(), prepare=lambda supernet: None, after=after,
        stops=lambda history: not _undecided(alphas, order),
    )  # fmt: skip
    training = SupernetTraining(supernet, alphas, task.data, relaxed, before.recipe, seed=seed)

    def pace(epoch: int) -> float:
        return _LATE if learned.budget.used("perturbation", epoch, epochs=epoch) < 1 else 1.0

    def compute(checkpoint: Checkpoint) -> Result:
        history = train_supernet(task, training, pace, checkpoint)
        last = Moment(supernet, alphas, task.data, 1.0, history)
        rest = [_decide(last, before.relaxed, place) for place in _undecided(alphas, order)]
        decided = [name for row in history for name in row["decided"]] + rest
        found = discretize(task.space, before.relaxed.at_rest(alphas))
        return Result({"architecture": found.to_json(), "epochs": len(history), "decided": decided})

    task.progress.stage("perturbation", len(order))
    facts = task.run.unit("search/perturbation", compute).facts
    learned.budget.spend(facts["epochs"])
    return Decoded((Architecture.from_json(facts["architecture"]),), {"decided": facts["decided"]})


def _undecided(alphas: Alphas, order: list[Place]) -> list[Place]:
    return [(group, row) for group, row in order if int((alphas.closed(group)[row] == 0).sum()) > 1]


def _decide(moment: Moment, relaxed: Relaxed, place: Place) -> str:
    """Keep the choice without which the loss on the alpha part is largest; what was decided, in words."""
    (group, row), alphas = place, moment.alphas
    table = alphas.closed(group)
    before, losses = table.clone(), {}
    for choice in torch.nonzero(before[row] == 0).flatten().tolist():
        alphas.close(group, row, [choice])
        losses[choice] = float(supernet_loss(moment.supernet, relaxed.at_rest(alphas), moment.data.alpha).mean())
        table.copy_(before)
    kept = max(losses, key=losses.__getitem__)
    alphas.decide(group, row, kept)
    return f"{group}[{row}] = {choices(moment.supernet.space)[group][kept]}"
