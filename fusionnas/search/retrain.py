"""Retraining: architectures trained alone, end to end, from fresh weights; several at a time in worker processes.

Each training is a unit of the run and a pure function of its job, so neither the number of workers nor the order in
which they finish changes a result. Every training runs on one thread.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.data.base import Part
from fusionnas.errors import FusionNASError
from fusionnas.network import FusionNetwork, build, predict
from fusionnas.registry import load_plugin
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.folds import fold
from fusionnas.search.method import Problem, Task
from fusionnas.search.pretrain import load_pretrained
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import nll
from fusionnas.training.train import Schedule, train

Watch = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        architecture: what to train.
        seed: of weights, batches and dropout, together with the run's seed.
        epochs: None: train on a fold and let its held-out part pick the epoch; else a refit: train on all of
            train + alpha + select for so many epochs.
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
    load_pretrained(network.encoders, problem.pretrained)
    trained = train(
        network, part, schedule, Recipe.of(problem.space), seed=seed, checkpoint=checkpoint, watch=watch
    )
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    if schedule.select is not None:
        tensors["held_out"] = predict(network, schedule.select.inputs)
    return Result({"epoch": trained.epoch, "loss": trained.loss, "history": trained.history}, tensors)


def retrain(task: Task, jobs: Sequence[Job]) -> list[Retrained]:
    """The trainings of all jobs, in order; those that the journal does not know run, ``task.workers`` at a time."""
    missing = [job for job in dict.fromkeys(jobs) if not task.run.known(job.name)]
    if task.workers > 1 and len(missing) > 1:
        with contextlib.closing(_in_processes(task, missing)) as finished:
            for job, future in finished:
                task.run.unit(job.name, partial(_received, future))
                task.progress.advance({"trained": str(job.architecture)[:48]})
    found = []
    for job in jobs:
        result = task.run.unit(job.name, partial(train_job, task.problem, job))
        if task.workers == 1 or len(missing) < 2:
            task.progress.advance({"trained": str(job.architecture)[:48]})
        found.append(_retrained(task, job, result))
    return found


def _received(future: Future[Result], checkpoint: Checkpoint) -> Result:
    return future.result()


def _retrained(task: Task, job: Job, result: Result) -> Retrained:
    state = {k.removeprefix("network."): v for k, v in result.tensors.items() if k.startswith("network.")}
    signed = replace(job.architecture, signature=task.data.signature)
    return Retrained(signed, state, int(result.facts["epoch"]), job.fold, result.tensors.get("held_out"))


def _in_processes(task: Task, jobs: Sequence[Job]) -> Generator[tuple[Job, Future[Result]], None, None]:
    """Jobs as they finish. A worker that dies ends the search; what was journaled before is kept.

    Workers live as long as ``hold`` is open: they end at once when the search stops, is interrupted or is killed.
    """
    context = multiprocessing.get_context("spawn")
    alive, hold = context.Pipe(duplex=False)
    count = min(task.workers, len(jobs))
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=(task.problem, alive))
    try:
        with _without_interrupts():
            futures = {pool.submit(_work, job, task.run.checkpoint(job.name)): job for job in jobs}
        for future in as_completed(futures):
            if isinstance(future.exception(), BrokenProcessPool):
                raise FusionNASError(
                    f"a worker process died while training {futures[future].architecture} (out of memory, or "
                    f"killed); what is finished is kept: 'fusionnas resume {task.run.path}' goes on, "
                    "with --workers 1 in one process"
                ) from future.exception()
            yield futures[future], future
        pool.shutdown()
    finally:
        hold.close()
        pool.shutdown(cancel_futures=True)
        alive.close()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that start meanwhile never see Ctrl-C, which is the main process's to handle; here it comes after."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_PROBLEM: list[Problem] = []  # a worker's own copy, received once when it starts


def _start(problem: Problem, alive: Connection) -> None:
    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()
    torch.set_num_threads(1)
    for plugin in problem.space.file.plugins:
        load_plugin(Path(plugin))
    _PROBLEM.append(problem)


def _end_with(alive: Connection) -> None:
    """End this process when the other end of the pipe closes; what it was doing is done again on resume."""
    wait([alive])
    os._exit(1)


def _work(job: Job, checkpoint: Checkpoint) -> Result:
    return train_job(_PROBLEM[0], job, checkpoint)


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
