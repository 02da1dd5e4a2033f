"""What a fusion operator is: k >= 2 features of width D -> one feature of width D.

Contract, checked for every registered operator by :mod:`fusionnas.testing`:

* Inputs come in declared order. An absent input (``present`` False) contributes exactly nothing, and an
  operator over k inputs is the leading block (:func:`fusionnas.layers.leading_block`) of the same operator
  over more inputs whose further inputs are absent.
* Padding never changes the output; fully masked rows give zeros, never NaN.
* All inputs absent -> output zeros with ``present`` False.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionnas.feature import Feature
from fusionnas.registry import Registry


@dataclass(frozen=True)
class OperatorFacts:
    """What ``fusionnas list operators`` and the docs say about an operator.

    Attributes:
        formula: output equation, plain text.
        source: author, title, year, arXiv or venue, equation.
        departs: how this implementation departs from the source.
        parameters: closed form in k (inputs) and D (width), plain text.
        macs: closed form per sample, T tokens where they count.
        rank: place on the homogeneous-to-heterogeneous chart, 1 = most homogeneous.
    """

    formula: str
    source: str
    departs: str
    parameters: str
    macs: str
    rank: int


class FusionOperator(nn.Module, abc.ABC):
    """Abstract; build as ``operators["gated"](inputs=2, width=32)``.

    Class attributes say what the search may do with an operator:
        facts: formula, source, costs.
        ordered: whether exchanging two inputs can change what the operator is able to compute.
        sequence: True = reads tokens (..., B, T, D); False = reads pooled vectors, T = 1.
        stackable: True = built from :mod:`fusionnas.layers` and elementwise operations alone.
        inputs_range: fewest and most inputs; most may be None.
    """

    facts: ClassVar[OperatorFacts]
    ordered: ClassVar[bool] = False
    sequence: ClassVar[bool] = False
    stackable: ClassVar[bool] = True
    inputs_range: ClassVar[tuple[int, int | None]] = (2, None)

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.inputs, self.width = inputs, width

    @abc.abstractmethod
    def forward(self, features: Sequence[Feature]) -> Feature:
        """k features (..., B, T_j, D) -> one feature; vector operators receive and return T = 1."""

    @classmethod
    @abc.abstractmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """Closed form; equals the number of parameters."""

    @classmethod
    @abc.abstractmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """Closed form, multiply-adds of matrix products per sample; ``tokens`` per input."""


operators: Registry[type[FusionOperator]] = Registry("fusion operator", "fusionnas.operators")


def register_operator(name: str) -> Callable[[type[FusionOperator]], type[FusionOperator]]:
    """Class decorator: make an operator known as ``name`` in space files."""
    return operators.register(name)


def any_present(features: Sequence[Feature]) -> Tensor:
    """(..., B) bool: samples for which at least one input is there."""
    return torch.stack([feature.present for feature in features]).any(0)


def vector_result(values: Tensor, present: Tensor) -> Feature:
    """A fused vector (..., B, 1, D) as a feature; zero where nothing is present."""
    return Feature(values * present[..., None, None].to(values.dtype), present.unsqueeze(-1), present)
