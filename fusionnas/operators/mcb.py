"""Compact bilinear pooling: the outer product of all inputs, sketched by random hashes and never written out (MCB)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from fusionnas.feature import Feature
from fusionnas.layers import Linear
from fusionnas.operators.base import (
    FusionOperator,
    OperatorFacts,
    any_present,
    register_operator,
    vector_result,
    vector_slots,
    where_present,
)

FACTOR = 4


@register_operator("mcb")
class Mcb(FusionOperator):
    """``W F^-1(prod_j F(S_j x_j)) + b``: k vectors (..., B, 1, D) -> (..., B, 1, D); an absent factor is 1.

    ``S_j`` adds each channel, with a fixed random sign, into one of 4 D places (a count sketch); the product of
    spectra is the circular convolution of the sketches, which is a sketch of the outer product. The sketches are
    functions of place and width alone, so they are part of no state dict.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = W F^-1(prod_j F(S_j x_j)) + b; S_j a fixed count sketch into 4 D places, F the unitary Fourier "
        "transform",
        source="Fukui et al., Multimodal Compact Bilinear Pooling for Visual Question Answering and Visual Grounding, "
        "EMNLP 2016, arXiv:1606.01847",
        departs="k inputs, not two; 4 D places, not 16,000; unitary transforms keep the variance, so no signed root or "
        "norm follows (the root has no gradient where inputs are 0); torch.fft, as what the authors' port calls is "
        "gone from torch; an absent spectrum is 1",
        parameters="4·D² + D",
        macs="4·D²",
        rank=3,
        absent="its spectrum is 1",
    )
    # Every place has hashes of its own, so inputs that change places are other features.
    ordered: ClassVar[bool] = True

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        sketches = [_sketch(slot, width) for slot in range(inputs)]
        self.places: Tensor
        self.signs: Tensor
        self.register_buffer("places", torch.stack([places for places, _ in sketches]), persistent=False)
        self.register_buffer("signs", torch.stack([signs for _, signs in sketches]), persistent=False)
        self.project = Linear(FACTOR * width, width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the projected sketch of their outer product."""
        values, present = vector_slots(features)
        precise = torch.promote_types(values.dtype, torch.float32)  # there is no transform of half precision on CPUs
        spectra = []
        for slot, (x, there) in enumerate(zip(values.to(precise).unbind(-2), present.unbind(-1), strict=True)):
            spectra.append(torch.fft.rfft(self._sketched(slot, x, there), norm="ortho"))
        sketch = torch.fft.irfft(functools.reduce(torch.mul, spectra), n=FACTOR * self.width, norm="ortho")
        return vector_result(self.project(sketch.to(values.dtype)), any_present(present))

    def _sketched(self, slot: int, x: Tensor, there: Tensor) -> Tensor:
        """(..., D) -> (..., 4 D), scaled to unit variance; where absent, what has the spectrum 1."""
        empty = x.new_zeros(*x.shape[:-1], FACTOR * self.width)
        sketch = empty.index_add(-1, self.places[slot], x * self.signs[slot].to(x.dtype) * FACTOR**0.5)
        pulse = functional.one_hot(self.places.new_zeros(()), FACTOR * self.width) * (FACTOR * self.width) ** 0.5
        return where_present(there.unsqueeze(-1), sketch, pulse.to(x.dtype))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``4 D^2 + D``, whatever k is."""
        return FACTOR * width**2 + width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``4 D^2``; transforms are no matrix products, and vectors have no ``tokens``."""
        return FACTOR * width**2


def _sketch(slot: int, width: int) -> tuple[Tensor, Tensor]:
    """For each of D channels its place among 4 D and its sign; the same for ever."""
    generator = torch.Generator().manual_seed(1000 + slot)
    places = torch.randint(FACTOR * width, (width,), generator=generator)
    signs = torch.randint(2, (width,), generator=generator) * 2.0 - 1
    return places, signs
