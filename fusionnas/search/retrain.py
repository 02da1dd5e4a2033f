"""Retraining: architectures trained alone, end to end, from fresh weights; several at a time on the executor's workers.

Each training is a unit of the run and a pure function of its job, so neither the executor nor the number of workers
nor the order in which they finish changes a result. Every training runs on one thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.data.base import Part
from fusionnas.device import compute_device, placed
from fusionnas.errors import FusionNASError
from fusionnas.execution import Call, Failure, completed
from fusionnas.gates.network import GatedNetwork
from fusionnas.network import FusionNetwork, build, predict
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.folds import fold
from fusionnas.search.gating import gated_training
from fusionnas.search.method import Problem, Task
from fusionnas.search.pretrain import load_pretrained
from fusionnas.training.gated import train_gated
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import nll
from fusionnas.training.train import Schedule, train

if TYPE_CHECKING:
    from fusionnas.run import Run

Watch = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        architecture: what to train.
        seed: of weights, batches and dropout, together with the run's seed.
        epochs: None: train on a fold and let its held-out part pick the epoch; else a refit: train on all of
            train + alpha + select for so many epochs. With gates, these keep alpha (:mod:`fusionnas.search.gating`).
        fold: which fold; 0 trains on train + alpha and holds select out.
    """

    architecture: Architecture
    seed: int
    epochs: int | None = None
    fold: int = 0

    @property
    def name(self) -> str:
        """The unit's name in the journal."""
        kind = "retrain" if self.epochs is None else "refit"
        fold = f"-fold{self.fold}" if self.fold else ""
        return f"{kind}/{self.architecture.id}/{self.seed}{fold}"


@dataclass(frozen=True)
class Retrained:
    """One finished training.

    Attributes:
        architecture: what was trained, with its signature.
        state: weights.
        epoch: epochs that were trained for.
        fold: what was held out; 0 = select.
        held_out: logits on the held-out samples (N, C); None for a refit, which has none.
    """

    architecture: Architecture
    state: Mapping[str, Tensor]
    epoch: int
    fold: int
    held_out: Tensor | None

    def network(self, problem: Problem) -> FusionNetwork:
        """The trained network, in eval mode."""
        network = build(problem.space, self.architecture, problem.data.signature)
        network.load_state_dict(dict(self.state))
        return network.eval()


def train_job(problem: Problem, job: Job, checkpoint: Checkpoint, watch: Watch | None = None) -> Result:
    """Carry out one training: a pure function of problem and job."""
    settings, data = problem.space.file.training, problem.data
    seed = derive(problem.seed, "network", job.architecture.id, job.seed)
    if job.epochs is None:
        part, held_out = fold(data, job.fold, problem.space.file.search.folds, seed=problem.seed)
        schedule = Schedule(held_out, settings.epochs, settings.epochs)
    else:
        part, schedule = data.all(), Schedule(None, job.epochs, settings.epochs)
    with seeded(derive(seed, "weights")):
        network = build(problem.space, job.architecture, data.signature)
    load_pretrained(network, problem.pretrained)
    if isinstance(network, GatedNetwork):
        plan = gated_training(problem, job.architecture, schedule)
        trained = train_gated(network, plan, seed=seed, checkpoint=checkpoint, watch=watch)
    else:
        trained = train(
            network, part, schedule, Recipe.of(problem.space), seed=seed, checkpoint=checkpoint, watch=watch
        )
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    if schedule.select is not None:
        with placed(compute_device(problem.space.file.execution.device), network):
            tensors["held_out"] = predict(network, schedule.select.inputs)
    facts = {"epoch": trained.epoch, "loss": trained.loss, "history": trained.history, **trained.notes}
    return Result(facts, tensors)


def retrain(task: Task, jobs: Sequence[Job]) -> list[Retrained]:
    """The trainings of all jobs, in order; those that the journal does not know run on ``task.executor``.

    Raises:
        FusionNASError: one failed; a resume tries it again.
    """
    failures = _compute(task, jobs)
    if failures:
        raise FusionNASError(_told(failures))
    trained = [_read(task, job) for job in jobs]
    for job, one in zip(jobs, trained, strict=True):
        if isinstance(one, Failure):
            raise FusionNASError(_told({job: one}))
    return [one for one in trained if isinstance(one, Retrained)]


def attempt(task: Task, jobs: Sequence[Job], *, needed: bool = True) -> dict[Job, Retrained]:
    """As ``retrain``, but only the trainings that worked.

    One that fails (its loss is not finite, it takes its worker down again and again, it goes beyond its limits) is
    told, journaled as failed with its traceback, and left out: the search goes on without it.

    Raises:
        FusionNASError: all failed, and some are needed.
    """
    failures = _compute(task, jobs)
    if needed and failures and len(failures) == len(set(jobs)):
        raise FusionNASError(_told(failures))
    for job, failure in failures.items():
        facts = {"failed": failure.text, "kind": failure.kind, "traceback": failure.traceback}
        task.run.keep(job.name, Result(facts))
    trained = {job: _read(task, job) for job in jobs}
    return {job: one for job, one in trained.items() if isinstance(one, Retrained)}


def failed(run: Run) -> list[dict[str, str]]:
    """The trainings that the journal holds as failed: unit, why, traceback."""
    units = {name: facts for name, facts in run.units().items() if "failed" in facts}
    return [{"unit": name, **facts} for name, facts in units.items()]


def _compute(task: Task, jobs: Sequence[Job]) -> dict[Job, Failure]:
    """Run what the journal does not know; each is journaled as it ends, those that failed come back."""
    missing = {job.name: job for job in jobs if not task.run.known(job.name)}
    calls = [
        Call(job.name, train_job, (task.shared, job, task.checkpoint(job.name)), task.limits)
        for job in missing.values()
    ]
    failures = {}
    with contextlib.closing(completed(task.executor, calls, halt=task.run.stopping)) as ends:
        for ended in ends:
            job = missing[ended.call.name]
            if ended.failure is None:
                task.run.keep(job.name, ended.value)
            elif ended.failure.kind != "stopped":
                failures[job] = ended.failure
                task.progress.message(f"{job.architecture} failed: {ended.failure.text}")
            task.progress.advance({"trained": str(job.architecture)[:48]})
    task.run.safe_point()
    return failures


def _told(failures: Mapping[Job, Failure]) -> str:
    job, failure = next(iter(failures.items()))
    others = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    return f"{job.architecture} cannot be trained{others}: {failure.text}\n{failure.traceback}".rstrip()


def _read(task: Task, job: Job) -> Retrained | Failure:
    """What the journal has."""
    result = task.run.unit(job.name, partial(train_job, task.problem, job))
    if "failed" in result.facts:
        return Failure(result.facts["kind"], result.facts["failed"], result.facts["traceback"])
    return _retrained(task, job, result)


def _retrained(task: Task, job: Job, result: Result) -> Retrained:
    state = {k.removeprefix("network."): v for k, v in result.tensors.items() if k.startswith("network.")}
    signed = replace(job.architecture, signature=task.data.signature)
    return Retrained(signed, state, int(result.facts["epoch"]), job.fold, result.tensors.get("held_out"))


def held_out_losses(task: Task, trained: Sequence[Retrained]) -> Tensor:
    """Negative log-likelihood of every sample that was held out, fold after fold, (N,)."""
    losses = []
    for one in trained:
        assert one.held_out is not None
        losses.append(nll(one.held_out, held_out_part(task, one).target))
    return torch.cat(losses)


def held_out_part(task: Task, trained: Retrained) -> Part:
    """The samples that a training held out."""
    return fold(task.data, trained.fold, task.space.file.search.folds, seed=task.seed)[1]
