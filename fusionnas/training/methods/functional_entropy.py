"""Functional entropy: every modality must matter for the prediction, as measured by small perturbations of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from fusionnas.architecture import Point
from fusionnas.feature import Feature
from fusionnas.training.method import Reads, Step, TrainingFacts, TrainingMethod, register_training
from fusionnas.training.recipe import Recipe

SAMPLES = 8  # perturbations per sample and modality
FLOOR = 1e-3  # least information: bounds the penalty, and its gradient, for a modality that changes nothing


@register_training("functional_entropy")
class FunctionalEntropy(TrainingMethod):
    """A modality whose perturbation hardly changes the prediction is penalised, so that none is ignored.

    Perturbed are the features of the modality's fusion points, by Gaussian noise as large as their own spread.

    Args:
        reads: modalities and outputs.
        names: modalities that it acts on.
        weight: lambda of the penalty.
    """

    facts: ClassVar[TrainingFacts] = TrainingFacts(
        key="training.debias: {kind: functional_entropy, weight: l, modalities: [..]}",
        formula="L + l ||(1 / Ent_i)_i||, Ent_i = mean_b (E[f log f] - E[f] log E[f]), f = CE(p(x), p(x + noise on i))",
        source="Gat et al., Removing Bias in Multi-modal Classifiers: Regularization by Maximizing Functional "
        "Entropies, NeurIPS 2020, arXiv:2010.10802",
        departs=f"noise on features, not on raw inputs; entropy itself, not its Fisher bound; {SAMPLES} samples; logs "
        f"are of values of at least 1e-12 and information is at least {FLOOR:g}, so that nothing is NaN; spread of a "
        "batch of one is 1; any number of modalities",
    )
    order: ClassVar[int] = 7

    def __init__(self, reads: Reads, names: Sequence[str], weight: float) -> None:
        super().__init__()
        self.views = [{point.modality for point in reads.points[name]} for name in names]
        self.weight = weight

    @classmethod
    def of(cls, recipe: Recipe, reads: Reads) -> TrainingMethod | None:
        """Off without the key, and for a network that reads one modality, or none of those named."""
        asked = recipe.training.debias
        if asked is None or asked.kind != "functional_entropy" or len(reads.points) < 2:
            return None
        names = [name for name in reads.points if asked.modalities is None or name in asked.modalities]
        return cls(reads, names, 0.01 if asked.weight is None else asked.weight) if names else None

    def loss(self, step: Step, loss: Tensor) -> Tensor:
        """The loss so far and the penalty."""
        penalty: Tensor = (1 / (self.information(step) + FLOOR)).square().sum().sqrt()
        return loss + self.weight * penalty

    def information(self, step: Step) -> Tensor:
        """Ent_i of every modality, (M,), not negative."""
        size = len(step.target)
        rows = torch.arange(size, device=step.target.device).repeat(SAMPLES)
        inputs = {name: feature.rows(rows) for name, feature in step.inputs.items()}
        found = []
        for views in self.views:
            features: dict[Point, Feature] = {}
            for point, feature in step.features.items():
                more = feature.rows(rows)
                features[point] = perturbed(more, spread(feature)) if point.modality in views else more
            changed = cross_entropy(step.logits.repeat(SAMPLES, 1), step.decode(features, inputs))
            found.append(entropy(changed.reshape(SAMPLES, size)).mean())
        return torch.stack(found)


def spread(feature: Feature) -> Tensor:
    """Standard deviation (D,) over real tokens; 1 where fewer than two are real."""
    values = feature.values[feature.mask]
    return values.std(0, correction=0).detach() if len(values) > 1 else values.new_ones(values.shape[-1])


def perturbed(feature: Feature, deviation: Tensor) -> Feature:
    """Real tokens with noise."""
    noise = torch.randn(feature.values.shape).to(feature.values) * deviation
    return feature._replace(values=feature.values + noise * feature.mask.unsqueeze(-1))


def cross_entropy(logits: Tensor, other: Tensor) -> Tensor:
    """Cross-entropy (B,) of the prediction ``other`` under the prediction ``logits``, both (B, C)."""
    if logits.shape[-1] == 1:
        return functional.binary_cross_entropy_with_logits(other, logits.sigmoid(), reduction="none")[:, 0]
    return functional.cross_entropy(other, logits.softmax(-1), reduction="none")


def entropy(values: Tensor) -> Tensor:
    """``E[f log f] - E[f] log E[f]`` over the first dimension, (n, B) -> (B,); 0 log 0 = 0."""
    mean = values.mean(0)
    own = (values * values.clamp_min(1e-12).log()).mean(0)
    return (own - mean * mean.clamp_min(1e-12).log()).clamp_min(0)
