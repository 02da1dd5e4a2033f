"""Tensor rank regularisation: clean multimodal sequences make a tensor of low rank, noisy ones one of high rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from fusionnas.architecture import Point
from fusionnas.feature import Feature
from fusionnas.training.method import Features, Reads, Step, TrainingFacts, TrainingMethod, register_training
from fusionnas.training.recipe import Recipe


@register_training("rank")
class TensorRank(TrainingMethod):
    """Penalises the norm of the outer product of all modalities, which bounds its nuclear norm, summed over time.

    The tensor is never built: its squared norm is a sum over pairs of time steps of products of inner products.

    Args:
        points: one fusion point per view.
        weight: of the penalty.
    """

    facts: ClassVar[TrainingFacts] = TrainingFacts(
        key="training.robustness.rank: w",
        formula="L + w mean_b ||M_b||_F / sqrt(prod_i d_i), M = (1/T) sum_t outer_i [x_i(t); 1], d_i = D + 1; "
        "||M||_F^2 = (1/T^2) sum_{s,t} prod_i ([x_i(s); 1] . [x_i(t); 1])",
        source="Liang et al., Learning Representations from Imperfect Time Series Data via Tensor Rank Regularization, "
        "ACL 2019, arXiv:1907.01011",
        departs="mean over time and divided by the norm that unit features would have, so that one weight suits all "
        "sizes; sequences of different lengths are averaged down to the shortest, vectors stand at every step; a "
        "missing modality is [0; 1]",
    )
    order: ClassVar[int] = 6

    def __init__(self, points: Sequence[Point], weight: float) -> None:
        super().__init__()
        self.points, self.weight = tuple(points), weight

    @classmethod
    def of(cls, recipe: Recipe, reads: Reads) -> TrainingMethod | None:
        """Off at weight 0, and for a network that reads one modality."""
        weight = recipe.training.robustness.rank
        points = [point for views in reads.points.values() for point in views]
        return cls(points, weight) if weight > 0 and len(reads.points) > 1 else None

    def loss(self, step: Step, loss: Tensor) -> Tensor:
        """The loss so far and the penalty."""
        return loss + self.weight * self.norms(step.features).mean()

    def norms(self, features: Features) -> Tensor:
        """Norm of each sample's tensor, relative to that of unit features; (B,)."""
        chosen = [features[point] for point in self.points]
        length = min((f.values.shape[1] for f in chosen if f.values.shape[1] > 1), default=1)
        square = torch.ones(())
        for feature in chosen:
            one = functional.pad(resampled(feature, length), (0, 1), value=1.0)
            square = square * (one @ one.transpose(1, 2)) / one.shape[-1]
        return square.mean((1, 2)).clamp_min(1e-12).sqrt()


def resampled(feature: Feature, length: int) -> Tensor:
    """Tokens (B, T, D) as ``length`` means of neighbouring real ones; a vector stands at every step."""
    batch, tokens, width = feature.values.shape
    if tokens == 1:
        return feature.values.expand(batch, length, width)
    weight = feature.mask.unsqueeze(-1).to(feature.values.dtype)
    both = torch.cat((feature.values * weight, weight), -1).transpose(1, 2)
    means = functional.adaptive_avg_pool1d(both, length).transpose(1, 2)
    return means[..., :-1] / means[..., -1:].clamp_min(1e-6)
