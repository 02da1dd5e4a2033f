"""Training with noise on the inputs."""

from __future__ import annotations

from typing import ClassVar

import torch

from fusionnas.training.method import Inputs, Reads, TrainingFacts, TrainingMethod, register_training
from fusionnas.training.recipe import Recipe


@register_training("noise")
class Noise(TrainingMethod):
    """Preprocessed numbers get Gaussian noise, fresh in every batch; ids of words and codes stay.

    Args:
        names: modalities that get it.
        deviation: standard deviation sigma; numbers are standardised, so its unit is that of each column.
    """

    facts: ClassVar[TrainingFacts] = TrainingFacts(
        key="training.robustness.noise: sigma",
        formula="x <- x + sigma e, e ~ N(0, 1), for every real token",
        source="Bishop, Training with Noise is Equivalent to Tikhonov Regularization, Neural Computation 1995",
        departs="ids (text, codes) get none; indicator columns get as much as measured ones",
    )
    order: ClassVar[int] = 1
    changes_inputs: ClassVar[bool] = True

    def __init__(self, names: tuple[str, ...], deviation: float) -> None:
        super().__init__()
        self.names, self.deviation = names, deviation

    @classmethod
    def of(cls, recipe: Recipe, reads: Reads) -> TrainingMethod | None:
        """Off at deviation 0."""
        deviation = recipe.training.robustness.noise
        names = tuple(view for views in reads.views().values() for view in views)
        return cls(names, deviation) if deviation > 0 else None

    def inputs(self, inputs: Inputs) -> Inputs:
        """Inputs by modality, the numbers among them noisy."""
        changed = dict(inputs)
        for name in self.names:
            feature = inputs[name]
            if feature.values.is_floating_point():
                noise = torch.randn(feature.values.shape).to(feature.values) * self.deviation
                changed[name] = feature._replace(values=feature.values + noise * feature.mask.unsqueeze(-1))
        return changed
