"""OGM-GE: encoders that are ahead of the others are slowed down, and get noise in their gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from fusionnas.architecture import Point
from fusionnas.feature import Feature
from fusionnas.training.method import Reads, Step, Trainee, TrainingFacts, TrainingMethod, register_training
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import nll

if TYPE_CHECKING:
    from fusionnas.data.base import Part


@register_training("ogm_ge")
class GradientModulation(TrainingMethod):
    """On-the-fly gradient modulation with generalization enhancement, for any fusion operator and any modalities.

    How well a modality does is asked of the network itself: the fused logits when every other modality is replaced by
    its mean over the batch. No weight of the readout is split, so gated, FiLM and attention work like concatenation.

    Args:
        reads: modalities.
        strength: alpha.
        epochs: only in the first so many; None = in all.
    """

    facts: ClassVar[TrainingFacts] = TrainingFacts(
        key="training.modulation: {kind: ogm_ge, strength: a, epochs: N}",
        formula="s_i = sum_b p_i(y_b); r_i = mean_{j != i} s_i / s_j; k_i = 1 - tanh(a r_i) where r_i > 1, else 1; "
        "g <- k_i g + N(0, std(g)) for every weight matrix of encoder i",
        source="Peng et al., Balanced Multimodal Learning via On-the-fly Gradient Modulation, CVPR 2022, "
        "arXiv:2203.15332",
        departs="scores by replacing the other modalities instead of splitting a concatenation's weights; more "
        "than two modalities by the mean of pairwise ratios; all weight matrices, not convolutions alone",
    )
    order: ClassVar[int] = 9

    def __init__(self, reads: Reads, strength: float, epochs: int | None) -> None:
        super().__init__()
        self.points, self.strength, self.epochs = reads.points, strength, epochs
        self._on = True

    @classmethod
    def of(cls, recipe: Recipe, reads: Reads) -> TrainingMethod | None:
        """Off without the key, and for a network that reads one modality."""
        asked = recipe.training.modulation
        if asked is None or len(reads.points) < 2:
            return None
        return cls(reads, asked.strength, asked.epochs)

    def begin(self, epoch: int, trainee: Trainee, part: Part) -> None:
        """Whether this epoch is one of those that are modulated."""
        self._on = self.epochs is None or epoch < self.epochs

    @torch.no_grad()
    def gradients(self, step: Step, encoders: Mapping[str, nn.Module]) -> None:
        """Slow down who is ahead, add noise to all."""
        if not self._on:
            return
        for points, factor in zip(self.points.values(), self.factors(step).tolist(), strict=True):
            for parameter in (p for point in points for p in encoders[point.modality].parameters()):
                if parameter.grad is not None and parameter.dim() > 1:
                    spread = parameter.grad.std(correction=0)
                    noise = torch.randn(parameter.shape).to(parameter.grad) * spread
                    parameter.grad.mul_(factor).add_(noise)

    @torch.no_grad()
    def factors(self, step: Step) -> Tensor:
        """k_i of every modality, (M,)."""
        scores = torch.stack([(-nll(self._alone(step, views), step.target)).exp().sum() for views in self._views()])
        ratios = scores.unsqueeze(1) / scores.clamp_min(1e-12)
        ahead = (ratios.sum(1) - ratios.diagonal()) / (len(scores) - 1)
        return torch.where(ahead > 1, 1 - torch.tanh(self.strength * ahead), 1.0)

    def _views(self) -> list[set[str]]:
        return [{point.modality for point in points} for points in self.points.values()]

    def _alone(self, step: Step, views: set[str]) -> Tensor:
        """Logits (B, C) with every modality but one at its mean, and the wide paths of the others shut."""
        features: dict[Point, Feature] = {
            point: feature if point.modality in views else mean_over_batch(feature)
            for point, feature in step.features.items()
        }
        inputs = {name: feature if name in views else feature.absent() for name, feature in step.inputs.items()}
        return step.decode(features, inputs)


def mean_over_batch(feature: Feature) -> Feature:
    """Every sample gets the batch's mean token at each place (B, T, D); present unless nobody has it."""
    weight = feature.mask.unsqueeze(-1).to(feature.values.dtype)
    mean = (feature.values * weight).sum(0) / weight.sum(0).clamp_min(1)
    return Feature(
        mean.expand(feature.values.shape), feature.mask.any(0).expand(feature.mask.shape),
        feature.present.any().expand(feature.present.shape),
    )  # fmt: skip
