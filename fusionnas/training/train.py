"""One training loop for every stand-alone network: finalists, baselines, final networks alike.

A killed training resumes from its last epoch to the same bits: the checkpoint holds weights, optimizer state,
averaged weights and both random streams.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fusionnas.data.base import Part
from fusionnas.device import compute_device, device_of, placed
from fusionnas.errors import FusionNASError
from fusionnas.feature import Feature
from fusionnas.network import Encoded, FusionNetwork, encode_frozen, encoded_rows, predict
from fusionnas.run.unit import Checkpoint
from fusionnas.training.adaptation import adapt, merge
from fusionnas.training.method import Methods, Reads, Step, Trainee
from fusionnas.training.optimizer import Average, cosine, make_optimizer
from fusionnas.training.randomness import derive, random_state, seeded, set_random_state
from fusionnas.training.recipe import Recipe
from fusionnas.training.recording import Outputs
from fusionnas.training.replay import Replay, gradients
from fusionnas.training.scoring import nll


@dataclass(frozen=True)
class Schedule:
    """How long to train.

    Attributes:
        select: part whose loss picks the epoch; None: train ``epochs`` and keep the last.
        epochs: epochs to run at most.
        horizon: epochs that the cosine schedule spans; a refit stops before its end.
    """

    select: Part | None
    epochs: int
    horizon: int

    def to(self, device: torch.device) -> Schedule:
        """The same on a device."""
        return self if self.select is None else replace(self, select=self.select.to(device))


@dataclass
class Trained:
    """What a training leaves behind.

    Attributes:
        epoch: epochs after which the kept weights were reached.
        loss: their mean negative log-likelihood on select; NaN without a select part.
        history: select loss after each epoch.
        notes: what training methods measured on the way.
    """

    epoch: int
    loss: float
    history: list[float]
    notes: dict[str, Any]


def train(
    network: FusionNetwork,
    part: Part,
    schedule: Schedule,
    recipe: Recipe,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    watch: Callable[[Mapping[str, Any]], None] | None = None,
    beside: Callable[[Step], Tensor] | None = None,
) -> Trained:
    """Train ``network`` in place, on the recipe's device; it ends where it was, with the kept weights, in eval mode.

    Args:
        network: freshly initialised, pretrained encoders loaded.
        part: samples to train on.
        schedule: see :class:`Schedule`.
        recipe: rates, batch size, patience, encoder policies, training methods.
        seed: of batches, dropout and what training methods draw.
        checkpoint: where to save and resume; None: no saving.
        watch: is told ``epoch``, ``epochs`` and ``loss`` after each epoch.
        beside: what else is descended, from each batch on its way through the network.

    Raises:
        FusionNASError: the loss is not finite. InputError: the device is not there.
    """
    device = compute_device(recipe.device)
    with placed(device, network):
        part, schedule = part.to(device), schedule.to(device)
        return _trained(network, part, schedule, recipe, seed, checkpoint, watch, beside)


def _trained(
    network: FusionNetwork,
    part: Part,
    schedule: Schedule,
    recipe: Recipe,
    seed: int,
    checkpoint: Checkpoint | None,
    watch: Callable[[Mapping[str, Any]], None] | None,
    beside: Callable[[Step], Tensor] | None,
) -> Trained:
    with seeded(derive(seed, "methods")):
        chosen = [name for name in recipe.having("adapt") if name in network.encoders]
        adapt([network.encoders[name] for name in chosen], recipe.training.adapt)
        loop = _Loop(network, recipe, beside)
    batches = torch.Generator().manual_seed(derive(seed, "batches"))
    with seeded(derive(seed, "dropout")):
        if checkpoint is not None and (saved := checkpoint.load()) is not None:
            loop.restore(saved, batches)
        while loop.epoch < schedule.epochs and not loop.stalled(schedule):
            loop.run_epoch(part, schedule, batches)
            if watch:
                watch({"epoch": loop.epoch, "epochs": schedule.epochs, "loss": loop.history[-1]})
            if checkpoint is not None and loop.epoch < schedule.epochs and checkpoint.due():
                checkpoint.save(loop.saved(batches))
    network.load_state_dict(loop.best)
    merge(network)
    network.eval()
    return Trained(loop.best_epoch, loop.best_loss, loop.history, loop.methods.notes())


class _Loop:
    """The state of one training."""

    def __init__(
        self, network: FusionNetwork, recipe: Recipe, beside: Callable[[Step], Tensor] | None = None
    ) -> None:
        self.network, self.training, self.beside = network, recipe.training, beside
        self.frozen = [n for n in recipe.having("frozen") if n in network.encoders]
        reads = Reads.of(
            network.architecture.points(), recipe, width=network.width, outputs=network.signature.outputs
        )
        self.methods = Methods(recipe, reads).to(device_of(network))
        self.optimizer = make_optimizer(network, recipe, beside=self.methods)
        self.average = Average(network, self.training.averaging)
        self.encoded: Encoded | None = None  # features of frozen encoders, computed once
        self.epoch, self.history = 0, list[float]()
        self.best, self.best_epoch, self.best_loss = self.average.state, 0, math.inf
        self.trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        # Anything else does more than tensor operations tell.
        plain = type(network) is FusionNetwork and beside is None and not self.methods.methods
        self.replayed = Replay(self._gradients) if plain else None

    def stalled(self, schedule: Schedule) -> bool:
        best = max(self.best_epoch, self.methods.warm)
        return schedule.select is not None and self.epoch - best >= self.training.patience

    def run_epoch(self, part: Part, schedule: Schedule, batches: torch.Generator) -> None:
        self.methods.begin(self.epoch, self._trainee(), part)
        part = self.methods.kept(part)
        cosine(self.optimizer, self.epoch, schedule.horizon)
        self.network.train()
        for name in self.frozen:
            self.network.encoders[name].eval()
        if self.encoded is None:
            once = [] if self.methods.changes_inputs else self.frozen
            self.encoded = encode_frozen({name: self.network.encoders[name] for name in once}, part.inputs)
        for index in part.indices(self.training.batch_size, batches):
            loss = self._step(part.rows(index), encoded_rows(self.encoded, index))
        self.epoch += 1
        if schedule.select is None:
            self.best, self.best_epoch, self.best_loss = self.average.state, self.epoch, math.nan
            self.history.append(finite(loss, self.epoch))
            return
        mean = finite(float(self._score(schedule.select).mean()), self.epoch)
        self.history.append(mean)
        if mean < self.best_loss and self.epoch > self.methods.warm:
            kept = {key: value.clone() for key, value in self.average.state.items()}
            self.best, self.best_epoch, self.best_loss = kept, self.epoch, mean

    def _step(self, batch: Part, encoded: Encoded) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        if self.replayed is not None:
            found = self.replayed(batch.inputs, encoded, batch.target)
            loss = found[-1]
            for parameter, gradient in zip(self.trained, found, strict=False):
                parameter.grad = gradient
        else:
            loss = self._descend(batch, encoded)
        torch.nn.utils.clip_grad_norm_([*self.network.parameters(), *self.methods.parameters()], 5.0)
        self.optimizer.step()
        self.average.update(self.network)
        return float("nan" if loss is None else loss)

    def _gradients(self, inputs: Mapping[str, Feature], encoded: Encoded, target: Tensor) -> Outputs:
        """Of all that trains, then the loss."""
        features = self.network.encode(inputs, encoded=encoded)
        loss = nll(self.network.decode(features, inputs), target).mean()
        return [*gradients(loss, self.trained), loss.detach()]

    def _descend(self, batch: Part, encoded: Encoded) -> Tensor:
        """Leave gradients where they belong, as training methods change them."""
        loss, step = self.methods.loss(self._trainee(encoded), self.methods.inputs(batch.inputs), batch.target)
        if self.beside is not None:
            loss = loss + self.beside(step)
        loss.backward()
        self.methods.gradients(step, dict(self.network.encoders.items()))
        return loss.detach()

    def _trainee(self, encoded: Encoded | None = None) -> Trainee:
        kind = type(self.network)  # a gated network decodes in its own way
        return Trainee(self.network, partial(kind.encode, encoded=encoded), kind.decode)

    def _score(self, part: Part) -> Tensor:
        current = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.average.state)
        losses = nll(predict(self.network, part.inputs), part.target)
        self.network.load_state_dict(current)
        return losses

    def saved(self, batches: torch.Generator) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(),
            "average": self.average.to_state(), "best": self.best, "best_epoch": self.best_epoch,
            "best_loss": self.best_loss, "history": self.history, "epoch": self.epoch,
            **random_state(), "batches": batches.get_state(), "methods": self.methods.state_dict(),
        }  # fmt: skip

    def restore(self, saved: dict[str, Any], batches: torch.Generator) -> None:
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.methods.load_state_dict(saved["methods"])
        self.average.from_state(saved["average"])
        self.best, self.best_epoch, self.best_loss = saved["best"], saved["best_epoch"], saved["best_loss"]
        self.history, self.epoch = saved["history"], saved["epoch"]
        set_random_state(saved)
        batches.set_state(saved["batches"])


def finite(loss: float, epoch: int) -> float:
    """``loss`` itself; an error that says what to do where it is NaN or infinite."""
    if not math.isfinite(loss):
        raise FusionNASError(
            f"the loss is {loss} after epoch {epoch}; lower training.learning_rate, "
            "or look for extreme values in the data ('fusionnas data describe')"
        )
    return loss
