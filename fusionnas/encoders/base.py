"""What an encoder is: the layers of one modality, level l - 1 -> level l, all of width D.

Level 0 is the stem (:mod:`fusionnas.encoders.stem`): the input projected to width D. Each further level is
one layer of a registered encoder; a list of encoders in the space file is searched per layer.

Contract, checked for every registered encoder by :mod:`fusionnas.testing`: same mask and presence out as in;
zeros where masked; padding never changes the output; every level of unit scale, so that features of all levels
can be mixed and compared (layers end with the LayerNorm of their residual sum).
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionnas.feature import Feature, InputSpec, everywhere
from fusionnas.registry import Registry


@dataclass(frozen=True)
class EncoderFacts:
    """What ``fusionnas list encoders`` and the docs say about an encoder.

    Attributes:
        summary: one line: what a layer does.
        source: author, title, year, arXiv or venue.
        departs: how this implementation departs from the source.
        kinds: modality kinds it encodes.
        view: per kind, the form of the input that it asks for (``fusionnas.space.schema.View``).
    """

    summary: str
    source: str
    departs: str
    kinds: tuple[str, ...]
    view: dict[str, str]


class EncoderLayer(nn.Module, abc.ABC):
    """Abstract; one layer, built as ``encoders["gru"](width=32, spec=spec)``.

    Class attributes:
        facts: what it is, and what it encodes.
        fixed_length: why an exported program can take no other number of tokens than in training; "" = it can.
    """

    facts: ClassVar[EncoderFacts]
    fixed_length: ClassVar[str] = ""

    def __init__(self, width: int, spec: InputSpec) -> None:
        super().__init__()
        self.width, self.spec = width, spec

    @abc.abstractmethod
    def forward(self, feature: Feature) -> Feature:
        """(B, T, D) -> (B, T, D), same mask and presence; zero where masked."""


encoders: Registry[type[EncoderLayer]] = Registry("encoder", "fusionnas.encoders")


def register_encoder(name: str) -> Callable[[type[EncoderLayer]], type[EncoderLayer]]:
    """Class decorator: make an encoder known as ``name`` in space files."""
    return encoders.register(name)


def zero_masked(values: Tensor, mask: Tensor) -> Tensor:
    """(B, T, D) -> (B, T, D), exactly zero where ``mask`` (B, T) is False, whatever was there."""
    return values if everywhere(mask) else torch.where(mask.unsqueeze(-1), values, 0.0)


def with_values(feature: Feature, values: Tensor) -> Feature:
    """``feature`` with new values (B, T, D), zero where masked; its mask and presence."""
    return Feature(zero_masked(values, feature.mask), feature.mask, feature.present)
