"""Ranking discrete heads that train alone, stacked: successive halving, fresh seeds, the simplest that will do."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.allowance import Allowance, Costs, first
from fusionnas.search.budget import Budget
from fusionnas.search.choice import kendall_tau, one_standard_error
from fusionnas.search.contest import Contest
from fusionnas.search.encoders import encode_parts
from fusionnas.search.evolving import evolve
from fusionnas.search.front import proposed
from fusionnas.search.gradient import supernet_loss
from fusionnas.search.halving import Ranking, Watch, halve, head_rungs, rescore, rescore_epochs
from fusionnas.search.heads import HeadSettings
from fusionnas.search.method import Task
from fusionnas.search.objective import Judge
from fusionnas.search.pool import Candidates, Pool
from fusionnas.search.references import Layers, competes, sources
from fusionnas.search.stacking import measure
from fusionnas.supernet import Supernet, one_hot
from fusionnas.training.randomness import derive

RESCORE_SEEDS = 3


def head_contest(task: Task, supernet: Supernet, layers: Layers) -> Contest:
    """Heads of this task, on the features of trained encoders and on the task's workers."""
    fusion, training = task.space.file.fusion, task.space.file.training
    settings = HeadSettings(
        fusion.width, task.data.signature.outputs, training.batch_size, dropout=training.dropout,
        device=task.space.file.execution.device,
    )  # fmt: skip
    timings = task.run.unit("search/stacking", lambda checkpoint: Result(_timings(task, settings))).facts
    train, select = encode_parts(task, supernet, layers)
    return Contest(train, select, settings, task.seed, timings, task.executor)


def _timings(task: Task, settings: HeadSettings) -> dict[str, Any]:
    names, stacking = task.space.file.fusion.operators, task.space.file.search.stacking
    if stacking == "auto":
        return measure(names, settings)
    return {name: {"stacked": float(not stacking), "sequential": float(stacking)} for name in names}


def rank_heads(
    task: Task, supernet: Supernet, layers: Layers, contestants: Callable[[], Pool], budget: Budget
) -> dict[str, Any]:
    """Finalists and how they were found; one unit, ``search/heads``.

    Args:
        task: what is searched.
        supernet: its encoders give the features.
        layers: encoder of every layer.
        contestants: the heads to compare; the references among them are scored again whatever their loss.
        budget: what is left; fewer heads compete, and fewer are scored again, where it does not pay for all.
    """

    search = task.space.file.search

    def compute(checkpoint: Checkpoint) -> Result:
        contest, heads, watch = head_contest(task, supernet, layers), _allowed(task, contestants()), head_watch(task)
        rescoring = rescore_epochs(search.rungs, contest)
        evolving = search.pool == "evolve" and heads.rest is not None
        wanted = search.heads + len(heads.references) if evolving else len(heads)
        allowance = Allowance(budget, _costs(task, contest), heads=wanted, again=search.rescore + len(heads.references))
        if allowance.heads == 0:
            return _unranked(task, heads)
        pool = first(heads, allowance.heads)
        ranked = _halved(task, pool, replace(contest, going=allowance), watch, checkpoint)
        # References beyond the space are scored to be compared with; they take no place from who may be the answer.
        best = [c.architecture for c, _ in ranked if competes(task.space, c.architecture)][: search.rescore]
        shortlist = list(dict.fromkeys([*best, *pool.references]))[: allowance.again()]
        if not shortlist:
            return _unranked(task, Pool(tuple(best), (), task.space, layers), contestants=allowance.heads,
                             epochs=allowance.epochs(0))  # fmt: skip
        losses = rescore(shortlist, contest, epochs=rescoring, seeds=RESCORE_SEEDS, watch=watch)
        facts = _ranking(task, supernet, shortlist, losses, allowance.heads)
        return Result({**facts, "epochs": allowance.epochs(len(shortlist))})

    facts = task.run.unit("search/heads", compute).facts
    budget.spend(facts["epochs"])
    return {key: value for key, value in facts.items() if key != "epochs"}


def _allowed(task: Task, heads: Pool) -> Pool:
    """Only heads that keep the constraints, where there are any.

    Raises:
        InputError: no reference does; single fusion points, the smallest networks, are among them.
    """
    if not task.space.file.search.constraints:
        return heads
    judge = Judge(task)
    return replace(heads, references=tuple(judge.allowed(heads.references)), allowed=judge.keeps)


def _costs(task: Task, contest: Contest) -> Costs:
    search = task.space.file.search
    ends = tuple(itertools.accumulate(head_rungs(search.rungs, contest)))
    return Costs(ends, search.eta, search.rescore, rescore_epochs(search.rungs, contest) * RESCORE_SEEDS)


def _halved(task: Task, heads: Pool, contest: Contest, watch: Watch, checkpoint: Checkpoint) -> Ranking:
    """Survivors, best first; with ``search.pool: evolve`` of all generations."""
    search, rungs = task.space.file.search, task.space.file.search.rungs
    if search.pool == "evolve" and heads.rest is not None:
        rng = random.Random(derive(task.seed, "evolve"))
        heads = evolve(heads, contest, search, rng=rng, watch=watch, unit=task.run.unit)
        rungs = (sum(rungs[:2]), *rungs[2:])
    return halve(
        Candidates(heads, task.seed), contest, rungs=rungs, eta=search.eta, keep=search.rescore, watch=watch,
        checkpoint=checkpoint,
    )  # fmt: skip


def _unranked(task: Task, heads: Pool, *, contestants: int = 0, epochs: int = 0) -> Result:
    """The first heads as finalists: the budget does not pay for scoring any again."""
    able = (architecture.to_json() for architecture in heads if competes(task.space, architecture))
    best = list(itertools.islice(able, task.space.file.search.finalists))
    return Result({"finalists": best, "contestants": contestants, "epochs": epochs})


def head_watch(task: Task) -> Watch:
    """Tells the progress of stacked training."""
    stages: set[str] = set()

    def watch(stage: str, done: int, expected: int) -> None:
        if stage not in stages:
            stages.add(stage)
            task.progress.stage(f"heads, {stage}", expected)
        task.progress.advance({})

    return watch


def _ranking(
    task: Task, supernet: Supernet, shortlist: Sequence[Architecture], losses: Tensor, contestants: int
) -> dict[str, Any]:
    space = task.space
    means = losses.mean(1).tolist()
    counts = [len(sources(space, architecture)) for architecture in shortlist]
    order = sorted(range(len(shortlist)), key=lambda i: means[i])
    able = [i for i in order if competes(space, shortlist[i])]
    simplest = able[one_standard_error(losses[able], [counts[i] for i in able])]
    losses_by = {shortlist[i]: means[i] for i in dict.fromkeys([simplest, *able])}
    finalists, front = proposed(Judge(task), losses_by, space.file.search.finalists)
    inside = [i for i in order if space.contains(shortlist[i])]
    shared = [float(supernet_loss(supernet, one_hot(space, shortlist[i]), task.data.select).mean()) for i in inside]
    by_supernet = dict(zip(inside, shared, strict=True))
    return {
        "finalists": [architecture.to_json() for architecture in finalists],
        **front,
        "contestants": contestants,
        "shortlist": [
            {
                "id": shortlist[i].id,
                "architecture": str(shortlist[i]),
                "modalities": counts[i],
                "loss": means[i],
                "supernet_loss": by_supernet.get(i),
            }
            for i in order
        ],
        "simplest_within_one_standard_error": shortlist[simplest].id,
        "supernet_rank_correlation": kendall_tau(shared, [means[i] for i in inside]),
    }
