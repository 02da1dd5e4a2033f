"""Steps: how operators that read several sequences step by step bring them together.

Token t of one sequence meets token t of the others. An input with a single real token (a vector) goes with every step.
Only masks say what is there, so that padding changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from fusionnas.feature import Feature, pool


def aligned(features: Sequence[Feature]) -> tuple[list[Tensor], Tensor]:
    """k sequences (..., B, T_j, D_j) -> k values (..., B, T, D_j), and what is real (..., B, T, k).

    T is the greatest length; values are zero where nothing is real. Inputs that have a single real token go with every
    step at which a longer one is real; where all have one, they meet at the first of their places.
    """
    length = max(feature.values.shape[-2] for feature in features)
    masks = torch.stack([_fitted(feature.mask, length) for feature in features], -1)
    single = masks.sum(-2) == 1
    steps = (masks & ~single.unsqueeze(-2)).any(-1)
    some = masks.any(-1)
    first = some & (some.cumsum(-1) == 1)
    # Flags are joined, not selected: ONNX Runtime has no selection among booleans.
    steps = steps | (first & ~steps.any(-1, keepdim=True))
    real = (steps.unsqueeze(-1) & single.unsqueeze(-2)) | (masks & ~single.unsqueeze(-2))
    values = []
    for feature, alone, here in zip(features, single.unbind(-1), real.unbind(-1), strict=True):
        spread = torch.where(alone[..., None, None], pool(feature).unsqueeze(-2), _fitted_values(feature, length))
        values.append(torch.where(here.unsqueeze(-1), spread, 0.0))
    return values, real


def followed(target: Feature, others: Sequence[Feature]) -> tuple[Tensor, Tensor]:
    """The others step by step along ``target``: values (..., B, T_0, k - 1, D), and what is real (..., B, T_0, k - 1).

    A vector goes with every step of the target; a target of one token meets the mean of every other sequence.
    """
    length, lone = target.values.shape[-2], target.mask.sum(-1) == 1
    values, real = [], []
    for other in others:
        whole = (other.mask.sum(-1) == 1) | (lone & other.mask.any(-1))
        mean = pool(other).unsqueeze(-2)
        values.append(torch.where(whole[..., None, None], mean, _fitted_values(other, length)))
        real.append(whole.unsqueeze(-1) | _fitted(other.mask, length))
    there = torch.stack(real, -1) & target.mask.unsqueeze(-1)
    return torch.where(there.unsqueeze(-1), torch.stack(values, -2), 0.0), there


def step_result(values: Tensor, real: Tensor) -> Feature:
    """Fused steps (..., B, T, D) as a feature; zero where ``real`` (..., B, T) is False, present where any step is."""
    return Feature(torch.where(real.unsqueeze(-1), values, 0.0), real, real.any(-1))


def _fitted(mask: Tensor, length: int) -> Tensor:
    """(..., T') cut, or filled up with False, to (..., length)."""
    return functional.pad(mask[..., :length], (0, max(length - mask.shape[-1], 0)))


def _fitted_values(feature: Feature, length: int) -> Tensor:
    values = torch.where(feature.mask.unsqueeze(-1), feature.values, 0.0)[..., :length, :]
    return functional.pad(values, (0, 0, 0, max(length - values.shape[-2], 0)))
