"""Low-rank adaptation: weights that were trained before stay as they are, a low-rank update of each is learned (LoRA).

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, arXiv:2106.09685, equation 3.
We depart: weights are merged by a function and never written in place (the authors' code adds to and takes from the
weight on every change between train and eval, which drifts in half precision and breaks shared weights); every matrix
for which the update is smaller than the matrix is adapted; no dropout.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from fusionnas.network import FusionNetwork
from fusionnas.space.schema import Adaptation


class Adapted(nn.Module):
    """A module whose weights are ``W + (alpha / rank) up down``; W is frozen, ``up`` starts at zero.

    Args:
        base: a trained module; it is frozen. Biases and norms stay as they are.
        settings: rank and alpha.
    """

    def __init__(self, base: nn.Module, settings: Adaptation) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = settings.alpha / settings.rank
        self._names: list[str] = []
        self.low_rank = nn.ModuleList()
        for name, weight in base.named_parameters():
            rows, columns = _matrix(weight).shape if weight.dim() > 1 else (0, 0)
            if settings.rank * (rows + columns) < rows * columns:
                self._names.append(name)
                self.low_rank.append(_LowRank(rows, columns, settings.rank))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the base gives with the updated weights."""
        return torch.func.functional_call(self.base, self.weights(), args, kwargs)

    def weights(self) -> dict[str, Tensor]:
        """The updated weights by name, as new tensors."""
        own = dict(self.base.named_parameters())
        updates = zip(self._names, self.low_rank, strict=True)
        return {name: own[name] + self.scale * update().view_as(own[name]) for name, update in updates}

    def merged(self) -> nn.Module:
        """A copy of the base with the updated weights, which train again; this module stays as it is."""
        module = copy.deepcopy(self.base).requires_grad_(True)
        with torch.no_grad():
            for name, value in self.weights().items():
                module.get_parameter(name).copy_(value)
        return module


class _LowRank(nn.Module):
    """``up down``, (rows, columns), zero at first."""

    def __init__(self, rows: int, columns: int, rank: int) -> None:
        super().__init__()
        self.down, self.up = nn.Parameter(torch.empty(rank, columns)), nn.Parameter(torch.zeros(rows, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self) -> Tensor:
        """The update."""
        return self.up @ self.down


def _matrix(weight: Tensor) -> Tensor:
    """Weights as a matrix: all outputs, of all slots, by inputs."""
    return weight.flatten(0, -2)


def adapt(network: FusionNetwork, settings: Adaptation, *, encoders: list[str], fusion: bool) -> None:
    """From here on, low-rank updates of these parts are trained instead of their weights.

    Args:
        network: trained; changed in place, and no longer to be exported until :func:`merge`.
        settings: rank and alpha.
        encoders: modalities whose encoders are adapted.
        fusion: whether fusion nodes and readout are adapted.
    """
    for name in encoders:
        network.encoders[name] = Adapted(network.encoders[name], settings)
    if fusion:
        network.head = Adapted(network.head, settings)


def merge(network: FusionNetwork) -> None:
    """Put the updates into the weights: the network has its own form again, and gives the same outputs."""
    for name, encoder in network.encoders.items():
        if isinstance(encoder, Adapted):
            network.encoders[name] = encoder.merged()
    if isinstance(network.head, Adapted):
        network.head = network.head.merged()
