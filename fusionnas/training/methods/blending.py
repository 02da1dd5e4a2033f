"""Gradient blending: each modality's own loss beside the fused one, weighted by how well it generalises."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fusionnas.errors import FusionNASError
from fusionnas.training.beside import UnimodalHeads
from fusionnas.training.method import Reads, Step, Trainee, TrainingFacts, TrainingMethod, register_training
from fusionnas.training.optimizer import make_optimizer
from fusionnas.training.randomness import derive
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import nll

if TYPE_CHECKING:
    from fusionnas.data.base import Part

ONE_IN = 5  # of the groups of samples is held out to measure with
EVEN = 0.1  # share of the weight that is dealt out evenly: no loss is ever switched off
LEAST_OVERFIT = 0.05  # of the loss before: what counts as no overfitting


@register_training("blending")
class GradientBlending(TrainingMethod):
    """Losses of the modalities' own heads and of the network, weighted by generalisation per squared overfitting.

    To measure, copies of the network and its heads are trained for some epochs on each loss alone, and their losses on
    a fifth of the training samples, held out, are followed: G is how far that loss falls at its best, O by how much the
    gap to the training loss grows until then. ``offline`` measures once, from the start; ``online`` measures anew
    every so many epochs from where training stands, and never trains on the held-out fifth. With k modalities one
    measurement costs k + 1 trainings of that length.

    Args:
        reads: modalities, width and outputs.
        recipe: how the copies are trained.
        epochs: of one measurement.
        online: whether to measure again and again.
    """

    facts: ClassVar[TrainingFacts] = TrainingFacts(
        key="training.blending: {kind: offline or online, epochs: n}",
        formula="L = sum_k w_k L_k over k modalities alone and the fused loss; w_k = 0.9 v_k + 0.1 / (k + 1), v_k ~ "
        "max(G_k, 0) / max(O_k, 0.05 L_k)^2, sum v = 1",
        source="Wang et al., What Makes Training Multi-Modal Classification Networks Hard?, CVPR 2020, "
        "arXiv:1905.12681, algorithms 1 and 2",
        departs="measured at the epoch with the lowest held-out loss; small overfitting counts as 5 % of the loss, no "
        "gain as weight 0, and a tenth of the weight is dealt out evenly, so weights are bounded and no part, least of "
        "all the fused one, is left untrained; even weights where nothing gains",
    )
    order: ClassVar[int] = 4

    def __init__(self, reads: Reads, recipe: Recipe, epochs: int, *, online: bool) -> None:
        super().__init__()
        self.heads, self.recipe, self.epochs, self.online = UnimodalHeads(reads), recipe, epochs, online
        self.names = [*reads.points, "fused"]
        self.weights: Tensor
        self.register_buffer("weights", torch.full((len(self.names),), 1 / len(self.names)))
        self.measured: list[list[float]] = []  # the epoch, then a weight per loss

    @classmethod
    def of(cls, recipe: Recipe, reads: Reads) -> TrainingMethod | None:
        """Off without the key, and for a network that reads one modality."""
        asked = recipe.training.blending
        if asked is None or len(reads.points) < 2:
            return None
        online = asked.kind == "online"
        return cls(reads, recipe, asked.epochs or (5 if online else recipe.training.epochs), online=online)

    def kept(self, part: Part) -> Part:
        """All but the fifth that online blending measures with."""
        return _split(part)[0] if self.online else part

    def begin(self, epoch: int, trainee: Trainee, part: Part) -> None:
        """Measure where it is time to."""
        if epoch % self.epochs == 0 if self.online else epoch == 0:
            train, held_out = _split(part)
            gains = [self._measure(which, trainee, train, held_out) for which in range(len(self.names))]
            self.weights = blend(torch.tensor(gains)).to(self.weights.device)
            self.measured.append([float(epoch), *self.weights.tolist()])

    def loss(self, step: Step, loss: Tensor) -> Tensor:
        """The weighted sum of the modalities' own losses and the loss so far."""
        each = torch.cat([self.heads.losses(step.features, step.target), loss.reshape(1)])
        return (self.weights * each).sum()

    def notes(self) -> dict[str, Any]:
        """Weights by loss at every epoch where they were measured."""
        return {"blending": [{"epoch": int(e), **dict(zip(self.names, w, strict=True))} for e, *w in self.measured]}

    def get_extra_state(self) -> list[list[float]]:
        """For checkpoints: what was measured."""
        return self.measured

    def set_extra_state(self, state: list[list[float]]) -> None:
        """From a checkpoint."""
        self.measured = state

    def _measure(self, which: int, trainee: Trainee, train: Part, held_out: Part) -> tuple[float, float, float]:
        """(G, O, held-out loss before) of one loss, trained alone in copies."""
        network, heads = copy.deepcopy(trainee.network), copy.deepcopy(self.heads)
        optimizer = make_optimizer(network, self.recipe, beside=heads)
        batches = torch.Generator().manual_seed(int(torch.randint(2**31, ())))

        def loss(part: Part) -> Tensor:
            features = trainee.encode(network, part.inputs)
            if which < len(heads.readouts):
                return heads.losses(features, part.target)[which]
            return nll(trainee.decode(network, features, part.inputs), part.target).mean()

        @torch.no_grad()
        def mean(part: Part) -> float:
            network.eval()
            return sum(float(loss(batch)) * len(batch) for batch in part.batches(512)) / len(part)

        curve = [(mean(held_out), mean(train))]
        for _ in range(self.epochs):
            network.train()
            for batch in train.batches(self.recipe.training.batch_size, batches):
                optimizer.zero_grad(set_to_none=True)
                loss(batch).backward()
                torch.nn.utils.clip_grad_norm_([*network.parameters(), *heads.parameters()], 5.0)
                optimizer.step()
            curve.append((mean(held_out), mean(train)))
        before, best = curve[0], min(curve)
        return before[0] - best[0], (best[0] - best[1]) - (before[0] - before[1]), before[0]


def blend(measured: Tensor) -> Tensor:
    """(G, O, loss before) of each loss (K, 3) -> weights (K,): positive, sum 1, at least ``EVEN / K`` each.

    A loss that does not gain (or is not finite) has no more than that; where none gains, all have 1 / K.
    """
    gain, overfit, before = measured.double().unbind(-1)
    value = gain.clamp_min(0) / overfit.clamp_min(0).maximum(LEAST_OVERFIT * before).clamp_min(1e-12).square()
    value = torch.where(value.isfinite(), value, 0.0)
    even = torch.full_like(value, 1 / len(value))
    share = value / value.sum() if bool(value.sum() > 0) else even
    return ((1 - EVEN) * share + EVEN * even).float()


def _split(part: Part) -> tuple[Part, Part]:
    """(to train on, to measure with): by the names of groups, so alike in every training and every process."""
    chosen = {group: derive(0, "blending", group) % ONE_IN == 0 for group in np.unique(part.groups)}
    held_out = torch.tensor([chosen[group] for group in part.groups])
    if not bool(held_out.any()) or bool(held_out.all()):
        raise FusionNASError(
            f"gradient blending holds out one group of samples in {ONE_IN}, but all {len(part)} samples of a training "
            "are in too few groups; give more samples, or leave training.blending out"
        )
    return part.rows(torch.where(~held_out)[0]), part.rows(torch.where(held_out)[0])
