"""A guard against one modality that takes every slot: the chance that two slots of a node read the same modality."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusionnas.supernet import Mixing

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace


def diversity(space: SearchSpace) -> Callable[[Mixing], Tensor]:
    """``search.diversity`` times :func:`overlap`, for the alphas' loss.

    The idea is that of AutoFM (Cui et al., 2024, arXiv:2401.11252), which adds a diversity term to its alphas' loss.
    Departs from it: the term counts modalities, not single features, and views of one source as one modality.
    """
    weight, read = space.file.search.diversity, _sources(space)
    return lambda mixing: weight * overlap(mixing, read) if weight else torch.zeros(())


def overlap(mixing: Mixing, read: Tensor) -> Tensor:
    """Mean over nodes and pairs of slots of the chance that both, drawn by their weights, read one modality: 0 to 1.

    Args:
        mixing: the weights.
        read: (points, modalities), one where the point is of the modality.
    """
    terms = []
    for slots in mixing.slots:
        weights = slots[:, : len(read)]
        shares = weights / weights.sum(-1, keepdim=True).clamp_min(1e-12) @ read
        both = shares @ shares.T
        pairs = torch.triu(torch.ones_like(both), diagonal=1)
        terms.append((both * pairs).sum() / pairs.sum())
    return torch.stack(terms).mean()


def _sources(space: SearchSpace) -> Tensor:
    groups = list(space.groups())
    read = torch.zeros(len(space.points()), len(groups))
    for place, point in enumerate(space.points()):
        read[place, groups.index(space.source_of(point.modality))] = 1.0
    return read
