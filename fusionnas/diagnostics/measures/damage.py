"""Damaged inputs: noise, missing tokens, missing modalities. Every function returns a new feature; none is changed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fusionnas.feature import Feature

Damage = Callable[[Feature, float, torch.Generator], Feature]


def noise(feature: Feature, level: float, generator: torch.Generator) -> Feature:
    """Gaussian noise of ``level`` standard deviations per channel on real tokens; of ids, that share is replaced.

    Replacements are drawn from the real tokens of the same samples, so that they are as frequent as they were.
    """
    if feature.values.is_floating_point():
        drawn = torch.randn(feature.values.shape, generator=generator)
        return feature._replace(values=feature.values + level * _spread(feature) * drawn * feature.mask.unsqueeze(-1))
    known = feature.values[feature.mask]
    if not len(known):
        return feature._replace(values=feature.values.clone())
    drawn_ids = known[torch.randint(len(known), feature.values.shape, generator=generator)]
    hit = (torch.rand(feature.values.shape, generator=generator) < level) & feature.mask
    return feature._replace(values=torch.where(hit, drawn_ids, feature.values))


def missing_tokens(feature: Feature, level: float, generator: torch.Generator) -> Feature:
    """That share of the real tokens is masked, drawn one by one; a sample keeps at least one token."""
    drawn = torch.rand(feature.mask.shape, generator=generator).masked_fill(~feature.mask, -1.0)
    last = torch.zeros_like(feature.mask).scatter(-1, drawn.argmax(-1, keepdim=True), True)
    mask = feature.mask & ((drawn >= level) | last)
    return Feature(_masked(feature.values, mask), mask, feature.present.clone())


def missing(feature: Feature, level: float, generator: torch.Generator) -> Feature:
    """The modality is absent for that share of the samples."""
    kept = torch.rand(feature.present.shape, generator=generator) >= level
    mask = feature.mask & kept.unsqueeze(-1)
    return Feature(_masked(feature.values, mask), mask, feature.present & kept)


def _masked(values: Tensor, mask: Tensor) -> Tensor:
    shown = mask.unsqueeze(-1) if values.is_floating_point() else mask
    return torch.where(shown, values, torch.zeros_like(values))


def _spread(feature: Feature) -> Tensor:
    """Standard deviation of each channel over real tokens, (R,)."""
    real = feature.values[feature.mask]
    return real.std(0) if len(real) > 1 else torch.zeros(feature.values.shape[-1])
