"""To which directions of its features a network's logits are sensitive."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from fusionnas.feature import Feature, pool
from fusionnas.network import FusionNetwork


def active_directions(
    network: FusionNetwork, inputs: Mapping[str, Feature], modalities: Collection[str]
) -> tuple[Tensor, Tensor]:
    """Features of some modalities and the directions in which they move the logits, most first.

    Args:
        network: trained, in eval mode.
        inputs: samples, per modality.
        modalities: of which the features are taken; the others stay as they are.

    Returns:
        (N, F) means over tokens of the features that the head reads, side by side, and (F, F) directions as columns:
        eigenvectors of the mean outer product of gradients, a shift of all real tokens alike.
    """
    size = len(next(iter(inputs.values())).present)
    values, outer = [], None
    for rows in torch.arange(size).split(512):
        with torch.no_grad():
            encoded = network.encode({name: feature.rows(rows) for name, feature in inputs.items()})
        points = [point for point in encoded if point.modality in modalities]
        leaves = [encoded[point].values.clone().requires_grad_() for point in points]
        moved = {p: encoded[p]._replace(values=leaf) for p, leaf in zip(points, leaves, strict=True)}
        logits = network.head({**encoded, **moved})
        for column in logits.unbind(1):
            found = torch.autograd.grad(column.sum(), leaves, retain_graph=True, allow_unused=True)
            gradients = [torch.zeros_like(v) if g is None else g for g, v in zip(found, leaves, strict=True)]
            shifted = [(g * encoded[p].mask.unsqueeze(-1)).sum(1) for g, p in zip(gradients, points, strict=True)]
            gradient = torch.cat(shifted, 1).double()
            outer = gradient.T @ gradient + (0.0 if outer is None else outer)
        values.append(torch.cat([pool(encoded[point]) for point in points], 1).double())
    assert outer is not None
    _, directions = torch.linalg.eigh(outer / size)
    return torch.cat(values), directions.flip(1)
