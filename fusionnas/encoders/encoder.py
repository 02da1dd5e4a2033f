"""Encoder: a stem and its layers, with one encoder per layer fixed, or with all choices mixed by weights.

Parameters of both have the same names, ``stem.*`` and ``layers.<l>.<encoder>.*``, so the weights of a fixed
encoder are a subset, by key, of those of the searchable one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusionnas.encoders.base import encoders
from fusionnas.encoders.stem import Stem
from fusionnas.feature import Feature, InputSpec


class Encoder(nn.Module):
    """One modality with a fixed encoder per layer; gives the features of levels 0..L.

    Args:
        spec: form of the input.
        width: channels D of every level.
        layers: encoder of each layer, level 1 first.
        dropout: rate on the input (:class:`fusionnas.encoders.stem.Stem`).
    """

    def __init__(self, spec: InputSpec, width: int, layers: Sequence[str], dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = Stem(spec, width, dropout)
        self.layers = nn.ModuleList(nn.ModuleDict({name: encoders[name](width, spec)}) for name in layers)

    def forward(self, feature: Feature) -> list[Feature]:
        """Input (B, T, R) or ids (B, T) -> features (B, T, D), level 0 first."""
        levels: list[Feature] = [self.stem(feature)]
        for choices in self.layers:
            assert isinstance(choices, nn.ModuleDict)
            for layer in choices.values():
                levels.append(layer(levels[-1]))
        return levels


class SearchableEncoder(nn.Module):
    """One modality with every choice in every layer, mixed by given weights (one modality of the supernet).

    Args:
        spec: form of the input.
        width: channels D of every level.
        choices: encoders to choose from in each layer.
        levels: number of layers L.
        dropout: rate on the input.
    """

    def __init__(self, spec: InputSpec, width: int, choices: Sequence[str], levels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = Stem(spec, width, dropout)
        self.layers = nn.ModuleList(
            nn.ModuleDict({name: encoders[name](width, spec) for name in choices}) for _ in range(levels)
        )

    def forward(self, feature: Feature, weights: Tensor) -> list[Feature]:
        """As :class:`Encoder`; ``weights`` (L, choices) mix the outputs of each layer.

        A choice of weight exactly 0 is not run if the weights carry no gradient: at one-hot weights the cost is
        that of the fixed encoder.
        """
        traced = torch.compiler.is_compiling()  # a program cannot look at weights
        known = weights.tolist() if not (traced or (weights.requires_grad and torch.is_grad_enabled())) else None
        levels: list[Feature] = [self.stem(feature)]
        for index, choices in enumerate(self.layers):
            assert isinstance(choices, nn.ModuleDict)
            # As in every relaxation: nothing to mix.
            if len(choices) == 1 and not traced and float(weights.detach()[index, 0]) == 1:
                levels.append(levels[0]._replace(values=next(iter(choices.values()))(levels[-1]).values))
                continue
            mixed = torch.zeros_like(levels[0].values)
            for place, layer in enumerate(choices.values()):
                if known is None or known[index][place] != 0:
                    mixed = mixed + weights[index, place] * layer(levels[-1]).values
            levels.append(levels[0]._replace(values=mixed))
        return levels
