"""Low-rank adaptation: weights that were trained before stay as they are, a low-rank update of each is learned (LoRA).

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, arXiv:2106.09685, equation 3.
We depart: the update is part of the weight by a function, and never written in place (the authors' code adds to and
takes from the weight on every change between train and eval, which drifts in half precision and breaks shared
weights); every linear map is adapted whose update is smaller than itself; no dropout.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fusionnas.layers import Linear, SlotLinear
from fusionnas.space.schema import Adaptation


class LowRank(nn.Module):
    """``W -> W + (alpha / rank) up down``; ``up`` starts at zero. ``rank (rows + columns)`` parameters.

    Args:
        weight: (..., rows, columns); the rows of all slots, where the map has some, are one matrix.
        settings: rank and alpha.
    """

    def __init__(self, weight: Tensor, settings: Adaptation) -> None:
        super().__init__()
        self.scale = settings.alpha / settings.rank
        rows, columns = weight.flatten(0, -2).shape
        down = torch.empty(settings.rank, columns, dtype=weight.dtype)  # drawn alike for every device
        self.down = nn.Parameter(nn.init.kaiming_uniform_(down, a=math.sqrt(5)).to(weight.device))
        self.up = nn.Parameter(weight.new_zeros(rows, settings.rank))

    def forward(self, weight: Tensor) -> Tensor:
        """The updated weight, a new tensor."""
        return weight + self.scale * (self.up @ self.down).view_as(weight)


def adapt(parts: Iterable[nn.Module], settings: Adaptation) -> None:
    """Freeze ``parts``; from here on the updates of their linear maps are trained, until :func:`merge`."""
    for part in parts:
        part.requires_grad_(False)
        for layer in list(part.modules()):
            if not isinstance(layer, Linear | SlotLinear | nn.Linear) or parametrize.is_parametrized(layer):
                continue
            rows, columns = layer.weight.flatten(0, -2).shape
            if settings.rank * (rows + columns) < rows * columns:
                parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, settings))


def is_update(name: str) -> bool:
    """Whether a parameter of this name is part of a low-rank update."""
    return ".parametrizations.weight.0." in name


def merge(network: nn.Module) -> None:
    """Make every update part of its weight for good: the network has its own form again and gives the same outputs."""
    for layer in list(network.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            assert isinstance(layer.weight, Tensor)
            merged = layer.weight.detach().clone()
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
            layer.weight = nn.Parameter(merged)
