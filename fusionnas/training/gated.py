"""Two-stage training of a gated network.

First every path: each batch takes the full path, as without gates, and each sample one random path more, which learns
from the label and from what the full path says. Then network and gates together: the network on its own train part,
the second path now that of the gates, sometimes a random one; the gates on the alpha part, where the network has not
yet been: on its own samples every branch looks certain. The gates descend the expected loss over all paths plus what
each path costs, as measured.

Sources: Xue & Marculescu, "Dynamic Multimodal Fusion", CVPR workshops 2023, arXiv:2204.00102, section 3.3; the full
path and a random one in each step, the one teaching the other: Yu & Huang, "Universally Slimmable Networks", ICCV 2019,
arXiv:1903.05134, section 3; early exits that learn from the last: Phuong & Lampert, "Distillation-Based Training for
Multi-Exit Architectures", ICCV 2019. Departs from the first: held-out samples for the gates; the loss is mixed over
paths, not the logits, and its mean is exact by default; random paths go on in the second stage; cost is measured time;
the temperature has a floor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fusionnas.data.base import Part
from fusionnas.device import compute_device, device_of, placed
from fusionnas.gates.gate import Draw, coin, everything, expected, exploring, hard, relaxed
from fusionnas.gates.network import GatedNetwork
from fusionnas.gates.paths import paths
from fusionnas.gates.spending import Spending
from fusionnas.run.unit import Checkpoint
from fusionnas.space.schema import Gating
from fusionnas.training.method import Methods, Reads, Step, Trainee
from fusionnas.training.optimizer import Average, cosine, make_optimizer
from fusionnas.training.randomness import derive, random_state, seeded, set_random_state
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import nll
from fusionnas.training.train import Schedule, Trained, finite, train

CALMER = 0.3
"""Share of the usual learning rate that the network has in the second stage."""
Watch = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class GatedTraining:
    """What a gated training needs beside the network.

    Attributes:
        train: samples for the network's weights.
        gates: samples for the gates, none of them in ``train``.
        schedule: of the first stage.
        gating: settings of the second stage.
        spending: what paths cost.
        recipe: as for any training.
    """

    train: Part
    gates: Part
    schedule: Schedule
    gating: Gating
    spending: Spending
    recipe: Recipe

    def to(self, device: torch.device) -> GatedTraining:
        """The same on a device."""
        return replace(
            self, train=self.train.to(device), gates=self.gates.to(device), schedule=self.schedule.to(device)
        )


def train_gated(
    network: GatedNetwork,
    plan: GatedTraining,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    watch: Watch | None = None,
) -> Trained:
    """Train in place, both stages; ends in eval mode with hard gates. Returns the first stage's epoch and history."""
    device = compute_device(plan.recipe.device)
    with placed(device, network):
        return _both_stages(network, plan.to(device), seed, checkpoint, watch)


def _both_stages(
    network: GatedNetwork, plan: GatedTraining, seed: int, checkpoint: Checkpoint | None, watch: Watch | None
) -> Trained:
    saved = None if checkpoint is None else checkpoint.load()
    second = saved if saved is not None and "gates" in saved else None
    if second is None:
        trained = train_paths(network, plan, seed=seed, checkpoint=checkpoint, watch=watch)
    else:
        trained = Trained(**second["first"])
    with seeded(derive(seed, "gates")):
        stage = SecondStage(network, plan, seed, trained)
        if second is not None:
            stage.restore(second)
        stage.run(checkpoint, watch)
    return trained


def train_paths(
    network: GatedNetwork,
    plan: GatedTraining,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    watch: Watch | None = None,
) -> Trained:
    """The first stage: the full path, and each sample on a uniformly random path."""
    network.draw = everything
    beside = one_more_path(network, coin, plan.gating.distill)
    return train(network, plan.train, plan.schedule, plan.recipe, seed=derive(seed, "paths"),
                 checkpoint=checkpoint, watch=watch, beside=beside)  # fmt: skip


def one_more_path(network: GatedNetwork, draw: Draw, share: float) -> Callable[[Step], Tensor]:
    """The loss of one path more per sample, and of the gates' guesses on it.

    Args:
        network: decides under ``draw``.
        draw: gives the path.
        share: of the loss that is the distance to what the full path predicts; the rest is that to the label.
    """

    def loss(step: Step) -> Tensor:
        found = network.decided(step.features, step.inputs, draw)
        told = (1 - share) * nll(found.logits, step.target).mean() + share * distance(found.logits, step.logits)
        return told + sum(nll(guess, step.target).mean() for guess in network.guesses(found.known))

    return loss


def distance(logits: Tensor, teacher: Tensor) -> Tensor:
    """Mean cross-entropy of (B, C) logits to the probabilities of others, which get no gradient."""
    if logits.shape[-1] == 1:
        return functional.binary_cross_entropy_with_logits(logits, teacher.detach().sigmoid())
    return functional.cross_entropy(logits, teacher.detach().softmax(-1))


class SecondStage:
    """The second stage: network and gates together, where both and the plan's samples are."""

    def __init__(self, network: GatedNetwork, plan: GatedTraining, seed: int, first: Trained) -> None:
        self.network, self.plan, self.first = network, plan, first
        recipe = plan.recipe
        reads = Reads.of(network.architecture.points(), recipe, width=network.width, outputs=network.signature.outputs)
        self.methods = Methods(recipe, reads).to(device_of(network))
        calmer = recipe.training.model_copy(update={"learning_rate": CALMER * recipe.training.learning_rate})
        self.weights = make_optimizer(network, replace(recipe, training=calmer), beside=self.methods)
        self.gates = torch.optim.Adam([{"params": [*network.gates.parameters()], "base": plan.gating.rate}])
        self.beside = one_more_path(network, exploring(plan.gating.explore), plan.gating.distill)
        self.average = Average(network, recipe.training.averaging)
        self.batches = torch.Generator().manual_seed(derive(seed, "gate batches"))
        self.frozen = [n for n in recipe.having("frozen", "adapt") if n in network.encoders]
        self.epoch, self.loss = 0, math.nan

    def run(self, checkpoint: Checkpoint | None = None, watch: Watch | None = None) -> None:
        """Train to the end; the network keeps the averaged weights, in eval mode with hard gates."""
        epochs = self.plan.gating.epochs
        while self.epoch < epochs:
            self.run_epoch()
            if watch:
                watch({"epoch": self.epoch, "epochs": epochs, "loss": self.loss})
            if checkpoint is not None and self.epoch < epochs and checkpoint.due():
                checkpoint.save(self.saved())
        self.network.load_state_dict(self.average.state)
        self.network.draw = hard
        self.network.eval()

    def run_epoch(self) -> None:
        """One epoch, at its temperature."""
        plan, size = self.plan, self.plan.recipe.training.batch_size
        for optimizer in (self.weights, self.gates):
            cosine(optimizer, self.epoch, plan.gating.epochs)
        first, last = plan.gating.temperature
        temperature = first * (last / first) ** (self.epoch / max(1, plan.gating.epochs - 1))
        held_out = _forever(plan.gates, size, self.batches)
        # Counted on from the first stage: what a method does at the start of a training is done.
        self.methods.begin(plan.schedule.horizon + self.epoch, self._trainee(), plan.train)
        for batch in self.methods.kept(plan.train).batches(size, self.batches):
            self._step_gates(next(held_out), temperature)
            self.loss = self._step_weights(batch)
            self.average.update(self.network)
        self.epoch += 1
        finite(self.loss, self.epoch)

    def _trainee(self) -> Trainee:
        return Trainee(self.network, GatedNetwork.encode, GatedNetwork.decode)

    def _step_weights(self, batch: Part) -> float:
        network = self.network.train()
        for name in self.frozen:
            network.encoders[name].eval()
        network.draw = everything
        loss, step = self.methods.loss(self._trainee(), self.methods.inputs(batch.inputs), batch.target)
        loss = loss + self.beside(step)
        network.zero_grad(set_to_none=True)
        self.weights.zero_grad(set_to_none=True)
        loss.backward()
        self.methods.gradients(step, dict(network.encoders.items()))
        torch.nn.utils.clip_grad_norm_([*network.parameters(), *self.methods.parameters()], 5.0)
        self.weights.step()
        return float(loss.detach())

    def _step_gates(self, batch: Part, temperature: float) -> None:
        network, gating = self.network.eval(), self.plan.gating
        inputs = self.methods.inputs(batch.inputs)
        with torch.no_grad():
            features = network.encode(inputs)
        exact = gating.relaxation == "exact"
        draw = expected(temperature) if exact else relaxed(temperature, noise=gating.relaxation == "gumbel")
        total = torch.zeros(())
        for path in paths(network, features, inputs, draw):
            spent = gating.cost_weight * self.plan.spending(path.decisions, inputs)
            total = total + (path.weight * (nll(path.logits, batch.target) + spent).detach()).mean()
        network.zero_grad(set_to_none=True)
        total.backward()
        self.gates.step()

    def saved(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {
            "network": self.network.state_dict(), "weights": self.weights.state_dict(),
            "gates": self.gates.state_dict(), "methods": self.methods.state_dict(), "average": self.average.to_state(),
            "first": vars(self.first),
            "epoch": self.epoch, **random_state(), "batches": self.batches.get_state(),
        }  # fmt: skip

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from ``saved``."""
        self.network.load_state_dict(saved["network"])
        self.weights.load_state_dict(saved["weights"])
        self.gates.load_state_dict(saved["gates"])
        self.methods.load_state_dict(saved["methods"])
        self.average.from_state(saved["average"])
        self.epoch = saved["epoch"]
        set_random_state(saved)
        self.batches.set_state(saved["batches"])


def _forever(part: Part, size: int, generator: torch.Generator) -> Any:
    while True:
        yield from part.batches(size, generator)
