"""What a fusion operator is: k >= 2 features of width D -> one feature of width D.

Contract, checked for every registered operator by :mod:`fusionnas.testing`:

* Inputs come in declared order. An absent input (``present`` False) contributes exactly nothing, and an
  operator over k inputs is the leading block (:func:`fusionnas.layers.leading_block`) of the same operator
  over more inputs whose further inputs are absent.
* Padding never changes the output; fully masked rows give zeros, never NaN.
* All inputs absent -> output zeros with ``present`` False. The output is present where any input is; an operator
  that returns the tokens of its first input (``ordered`` and ``sequence``) is present where that input is.
* Parameters are laid out slot by slot along their growing dimensions, and module names depend on the number of
  inputs by trailing indices alone.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, overload

import torch
from torch import Tensor, nn

from fusionnas.errors import SpaceError
from fusionnas.feature import Feature, all_there, everywhere, known
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
        absent: what an absent input becomes, so that it adds nothing.
    """

    formula: str
    source: str
    departs: str
    parameters: str
    macs: str
    rank: int
    absent: str = "its terms are left out"


class FusionOperator(nn.Module, abc.ABC):
    """Abstract; build as ``operators["gated"](inputs=2, width=32)``.

    Class attributes say what the search may do with an operator:
        facts: formula, source, costs.
        ordered: whether exchanging two inputs can change what the operator is able to compute.
        sequence: True = reads tokens (..., B, T, D); False = reads pooled vectors, T = 1.
        stackable: True = built from :mod:`fusionnas.layers` and elementwise operations alone.
        fixed_length: why an exported program can take no other number of tokens than in training; "" = it can.
        straight_through: True = some values are hard choices whose gradient is that of a soft form.
        inputs_range: fewest and most inputs; most may be None.
        decides: True = fuses predictions to logits (:mod:`fusionnas.operators.decision`): the last node alone.
    """

    facts: ClassVar[OperatorFacts]
    ordered: ClassVar[bool] = False
    sequence: ClassVar[bool] = False
    stackable: ClassVar[bool] = True
    fixed_length: ClassVar[str] = ""
    straight_through: ClassVar[bool] = False
    inputs_range: ClassVar[tuple[int, int | None]] = (2, None)
    decides: ClassVar[bool] = False

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        low, high = self.inputs_range
        if inputs < low or (high is not None and inputs > high):
            raise SpaceError(
                f"{type(self).__name__}: given {inputs} inputs, expected {low} to {high or 'any number'}; "
                f"change fusion.inputs or leave the operator out of fusion.operators"
            )
        self.inputs, self.width = inputs, width

    @classmethod
    def build(cls, inputs: int, width: int, outputs: int) -> FusionOperator:
        """The operator as it stands in a network of ``outputs`` logits."""
        return cls(inputs, width)

    def over(self, inputs: int) -> FusionOperator:
        """A fresh operator of this form over another number of inputs."""
        return type(self)(inputs, self.width)

    @classmethod
    def takes(cls) -> str:
        """How many inputs, in words."""
        low, high = cls.inputs_range
        return f"{low} or more" if high is None else str(low) if low == high else f"{low} to {high}"

    @classmethod
    def reads(cls) -> str:
        """What of its inputs: tokens, vectors, or the predictions that experts make of vectors."""
        return "tokens" if cls.sequence else "predictions" if cls.decides else "vectors"

    @abc.abstractmethod
    def forward(self, features: Sequence[Feature]) -> Feature:
        """k features (..., B, T_j, D) -> one feature; vector operators receive and return T = 1."""

    @classmethod
    def reorder(cls, name: str, value: Tensor, order: Sequence[int]) -> Tensor | None:
        """Parameter ``name`` with slot i holding what slot ``order[i]`` held; None = laid out slot by slot.

        Only for parameters that grow otherwise, such as one block per pair of inputs.
        """
        return None

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


class Slots(Sequence[Feature]):
    """Vectors that lie side by side already, as features for an operator.

    Args:
        values: (..., B, k, D), zero where absent.
        present: (..., B, k).
    """

    def __init__(self, values: Tensor, present: Tensor) -> None:
        self.values, self.present = values, present

    def __len__(self) -> int:
        return self.values.shape[-2]

    @overload
    def __getitem__(self, index: int) -> Feature: ...

    @overload
    def __getitem__(self, index: slice) -> Slots: ...

    def __getitem__(self, index: int | slice) -> Feature | Slots:
        if isinstance(index, slice):
            return Slots(self.values[..., index, :], self.present[..., index])
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        present = self.present[..., index]
        return Feature(self.values[..., index, :].unsqueeze(-2), present.unsqueeze(-1), present)


def vector_slots(features: Sequence[Feature]) -> tuple[Tensor, Tensor]:
    """k vectors side by side: values (..., B, k, D), zero where absent, and presence (..., B, k)."""
    if isinstance(features, Slots):
        return features.values, features.present
    flags = [feature.present for feature in features]
    present = all_there(*flags[0].shape, len(flags)) if all(map(known, flags)) else torch.stack(flags, -1)
    values = torch.cat([feature.values for feature in features], -2)
    return where_present(present.unsqueeze(-1), values), present


def any_present(present: Tensor) -> Tensor:
    """Whether any slot is there: (..., k) -> (...)."""
    return present[..., 0] if known(present) else present.any(-1)


def vector_result(values: Tensor, present: Tensor) -> Feature:
    """A fused vector (..., B, D) as a feature of one token; zero where ``present`` (..., B) is False."""
    mask = present.unsqueeze(-1)
    return Feature(where_present(mask, values).unsqueeze(-2), mask, present)


def slot_sum(weights: Tensor, values: Tensor, present: Tensor) -> Tensor:
    """``sum_j w_j v_j`` over the slots that are there: (..., B, k, D) twice and (..., B, k) -> (..., B, D).

    Slot by slot: a sum over a dimension of two, just before the channels, takes several times as long.
    """
    pairs = zip(weights.unbind(-2), by_slot(values), strict=True)
    terms = [weight * value for weight, value in pairs]
    if not everywhere(present):
        there = present.unsqueeze(-1).unbind(-2)
        terms = [torch.where(here, term, 0.0) for here, term in zip(there, terms, strict=True)]
    return functools.reduce(torch.add, terms)


def slot_product(factors: Tensor) -> Tensor:
    """The product over slots: (..., k, D) -> (..., D)."""
    return functools.reduce(torch.mul, by_slot(factors))


def by_slot(values: Tensor) -> tuple[Tensor, ...]:
    """What a ``SlotLinear`` gave (..., k, D), slot by slot; so its gradient lies as it does."""
    place = max(values.dim() - 3, 0)
    return values.movedim(-2, place).unbind(place)


def where_present(present: Tensor, values: Tensor, absent: float | Tensor = 0.0) -> Tensor:
    """``values`` where ``present`` (broadcast against it), else ``absent``; ``values`` itself where all is there."""
    return values if everywhere(present) else torch.where(present, values, absent)
