"""Ranking discrete heads that train alone, stacked: successive halving, fresh seeds, the simplest that will do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.choice import kendall_tau, one_standard_error
from fusionnas.search.encoders import encode_parts
from fusionnas.search.gradient import supernet_loss
from fusionnas.search.halving import Contest, Watch, halve, rescore
from fusionnas.search.heads import Candidate, HeadSettings
from fusionnas.search.method import Task
from fusionnas.search.references import Layers, sources
from fusionnas.supernet import Supernet, one_hot

RESCORE_EPOCHS, RESCORE_SEEDS = 8, 3


def head_contest(task: Task, supernet: Supernet, layers: Layers) -> Contest:
    """Heads of this task, on the features of trained encoders."""
    fusion, training = task.space.file.fusion, task.space.file.training
    settings = HeadSettings(fusion.width, task.data.signature.outputs, training.batch_size, dropout=training.dropout)
    return Contest(*encode_parts(task, supernet, layers), settings, task.seed)


def rank_heads(
    task: Task,
    supernet: Supernet,
    layers: Layers,
    contestants: Callable[[], tuple[list[Architecture], int]],
) -> dict[str, Any]:
    """Finalists and how they were found; one unit, ``search/heads``.

    Args:
        task: what is searched.
        supernet: its encoders give the features.
        layers: encoder of every layer.
        contestants: the heads to compare, and how many of the first are references, which are always scored again.
    """
    search = task.space.file.search

    def compute(checkpoint: Checkpoint) -> Result:
        contest, watch = head_contest(task, supernet, layers), head_watch(task)
        heads, references = contestants()
        ranked = halve(
            [Candidate(a, task.seed) for a in heads], contest,
            rungs=search.rungs, eta=search.eta, keep=search.rescore, watch=watch,
        )  # fmt: skip
        best = [candidate.architecture for candidate, _ in ranked[: search.rescore]]
        shortlist = list(dict.fromkeys([*best, *heads[:references]]))
        losses = rescore(shortlist, contest, epochs=RESCORE_EPOCHS, seeds=RESCORE_SEEDS, watch=watch)
        return Result(_ranking(task, supernet, shortlist, losses, len(heads)))

    return task.run.unit("search/heads", compute).facts


def head_watch(task: Task) -> Watch:
    """Tells the progress of stacked training."""

    def watch(rung: str, done: int, groups: int) -> None:
        if done == 1:
            task.progress.stage(f"heads, {rung}", groups)
        task.progress.advance({})

    return watch


def _ranking(
    task: Task, supernet: Supernet, shortlist: Sequence[Architecture], losses: Tensor, contestants: int
) -> dict[str, Any]:
    space = task.space
    means = losses.mean(1).tolist()
    counts = [len(sources(space, architecture)) for architecture in shortlist]
    order = sorted(range(len(shortlist)), key=lambda i: means[i])
    simplest = one_standard_error(losses, counts)
    first = list(dict.fromkeys([simplest, *order]))[: space.file.search.finalists]
    inside = [i for i in order if space.contains(shortlist[i])]
    shared = [float(supernet_loss(supernet, one_hot(space, shortlist[i]), task.data.select).mean()) for i in inside]
    return {
        "finalists": [shortlist[i].to_json() for i in first],
        "contestants": contestants,
        "shortlist": [
            {"id": shortlist[i].id, "architecture": str(shortlist[i]), "modalities": counts[i], "loss": means[i]}
            for i in order
        ],
        "simplest_within_one_standard_error": shortlist[simplest].id,
        "supernet_rank_correlation": kendall_tau(shared, [means[i] for i in inside]),
    }
