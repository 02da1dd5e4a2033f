"""Retraining: an architecture trained alone, end to end, from fresh weights. Each training is a unit of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.data.base import Part
from fusionnas.network import FusionNetwork, build, predict
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.method import Task
from fusionnas.search.pretrain import load_pretrained, policies
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.scoring import nll
from fusionnas.training.train import Schedule, train


@dataclass(frozen=True)
class Retrained:
    """One finished training.

    Attributes:
        architecture: what was trained, with its signature.
        state: weights.
        epoch: epochs that were trained for.
        select: logits on select (N, C), or None where select was trained on.
    """

    architecture: Architecture
    state: Mapping[str, Tensor]
    epoch: int
    select: Tensor | None

    def network(self, task: Task) -> FusionNetwork:
        """The trained network, in eval mode."""
        network = build(task.space, self.architecture, task.data.signature)
        network.load_state_dict(dict(self.state))
        return network.eval()


def retrain(task: Task, architecture: Architecture, seed: int) -> Retrained:
    """Train on train + alpha; select picks the epoch."""
    parts = Part.concat(task.data.train, task.data.alpha)
    epochs = task.space.file.training.epochs
    return _unit(task, f"retrain/{architecture.id}/{seed}", architecture, parts, Schedule(task.data.select, epochs, epochs), seed)


def refit(task: Task, architecture: Architecture, seed: int, epochs: int) -> Retrained:
    """Train on train + alpha + select for a given number of epochs."""
    schedule = Schedule(None, epochs, task.space.file.training.epochs)
    return _unit(task, f"refit/{architecture.id}/{seed}", architecture, task.data.all(), schedule, seed)


def select_losses(task: Task, trained: Retrained) -> Tensor:
    """Negative log-likelihood per select sample, (N,)."""
    assert trained.select is not None
    return nll(trained.select, task.data.select.target)


def _unit(
    task: Task, name: str, architecture: Architecture, part: Part, schedule: Schedule, seed: int
) -> Retrained:
    own_seed = derive(task.seed, "network", architecture.id, seed)

    def compute(checkpoint: Checkpoint) -> Result:
        with seeded(derive(own_seed, "weights")):
            network = build(task.space, architecture, task.data.signature)
        load_pretrained(network.encoders, task.pretrained)
        trained = train(
            network, part, schedule, task.space.file.training, seed=own_seed, checkpoint=checkpoint,
            policies=policies(task.space), watch=task.progress.advance,
        )  # fmt: skip
        tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
        if schedule.select is not None:
            tensors["select"] = predict(network, schedule.select.inputs)
        return Result({"epoch": trained.epoch, "loss": trained.loss, "history": trained.history}, tensors)

    result = task.run.unit(name, compute)
    state = {k.removeprefix("network."): v for k, v in result.tensors.items() if k.startswith("network.")}
    signed = replace(architecture, signature=task.data.signature)
    return Retrained(signed, state, int(result.facts["epoch"]), result.tensors.get("select"))


def mean_losses(task: Task, trained: list[Retrained]) -> Tensor:
    """Loss per select sample, mean over seeds."""
    return torch.stack([select_losses(task, t) for t in trained]).mean(0)
