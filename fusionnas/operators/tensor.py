"""Tensor fusion: the outer product of all inputs, each with a 1 before it, holds every interaction of every order."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Collection, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fusionnas.errors import SpaceError
from fusionnas.feature import Feature
from fusionnas.layers import Linear, SlotLinear
from fusionnas.operators.base import (
    FusionOperator,
    OperatorFacts,
    any_present,
    register_operator,
    vector_result,
    vector_slots,
    where_present,
)

NARROW = 8
MAX_TENSOR_WIDTH = 1_000_000
Block = tuple[int, ...]


@register_operator("tensor")
class TensorFusion(FusionOperator):
    """``W vec([1; P_1 x_1] (x) ... (x) [1; P_k x_k]) + b``: k vectors (..., B, 1, D) -> (..., B, 1, D).

    An absent input leaves the 1 before it, so k inputs give exactly the operator over those that are there. The
    outer product decomposes into one block per subset of inputs, from ``()``, a constant, over ``(0,)``, the first
    input alone, to ``(0, 1, ..., k - 1)``; :meth:`sub_blocks` gives what each contributes, :meth:`keep` drops some.

    Raises:
        SpaceError: the outer product were wider than :data:`MAX_TENSOR_WIDTH`.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z = W vec([1; P_1 x_1] (x) ... (x) [1; P_k x_k]) + b",
        source="Zadeh et al., Tensor Fusion Network for Multimodal Sentiment Analysis, EMNLP 2017, arXiv:1707.07250",
        departs="inputs are projected to at most 8 channels, so that the outer product stays small; any number of "
        "inputs up to 6; one linear map follows, the source's inference network being the encoders' and the readout's "
        "task; an absent input is 0 after its projection",
        parameters="k·q·(D + 1) + (q + 1)^k·D + D, q = min(D, 8)",
        macs="k·q·D + (q + 1)^k·D, q = min(D, 8)",
        rank=4,
        absent="0 behind its 1: what is left is the sub-tensor of the others",
    )
    inputs_range: ClassVar[tuple[int, int | None]] = (2, 6)

    def __init__(self, inputs: int, width: int) -> None:
        self.narrow = min(width, NARROW)
        check_tensor_width([self.narrow] * inputs)
        super().__init__(inputs, width)
        self._kept: frozenset[Block] | None = None
        self.narrows = SlotLinear(inputs, width, fan_out=self.narrow)
        self.project = Linear(tensor_width([self.narrow] * inputs), width)

    def keep(self, blocks: Collection[Block] | None) -> None:
        """Keep these blocks of interactions alone, each a tuple of places of inputs; None keeps all.

        Raises:
            SpaceError: a block that there is not.
        """
        unknown = set(blocks or ()) - set(self._blocks())
        if unknown:
            raise SpaceError(
                f"tensor over {self.inputs} inputs has no blocks {sorted(unknown)}; ask for {self._blocks()}"
            )
        self._kept = None if blocks is None else frozenset(blocks)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors -> the projected outer product."""
        outer, present = self._outer(features)
        if self._kept is not None:
            outer = outer * sum(self._where(block, outer) for block in sorted(self._kept))
        return vector_result(self.project(outer), present)

    def sub_blocks(self, features: Sequence[Feature]) -> dict[Block, Tensor]:
        """What each subset of inputs contributes to the output, (..., B, D) each; they and the bias sum up to it."""
        outer, present = self._outer(features)
        nothing = self.project(torch.zeros_like(outer))
        given = {block: self.project(outer * self._where(block, outer)) - nothing for block in self._blocks()}
        return {block: where_present(present.unsqueeze(-1), value) for block, value in given.items()}

    def _outer(self, features: Sequence[Feature]) -> tuple[Tensor, Tensor]:
        """The outer product (..., B, (q + 1)^k), the last input slowest, and presence (..., B)."""
        values, present = vector_slots(features)
        narrow = where_present(present.unsqueeze(-1), self.narrows(values))
        ones = torch.ones_like(narrow[..., :1])
        outer = functools.reduce(outer_product, torch.cat((ones, narrow), -1).unbind(-2))
        return outer, any_present(present)

    def _blocks(self) -> list[Block]:
        places = range(self.inputs)
        return [block for size in range(self.inputs + 1) for block in itertools.combinations(places, size)]

    def _where(self, block: Block, like: Tensor) -> Tensor:
        """((q + 1)^k,) with 1 where an entry multiplies exactly the inputs of ``block``, else 0."""
        inside = torch.ones(self.narrow + 1, dtype=like.dtype, device=like.device)
        inside[0] = 0
        return functools.reduce(outer_product, [inside if j in block else 1 - inside for j in range(self.inputs)])

    @classmethod
    def reorder(cls, name: str, value: Tensor, order: Sequence[int]) -> Tensor | None:
        """The columns of ``project`` are places of a k-dimensional tensor, the last input slowest."""
        return reorder_outer(value, order) if name == "project.weight" else None

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k q (D + 1)`` for the projections, ``(q + 1)^k D + D`` for the map, q = min(D, 8)."""
        narrow = min(width, NARROW)
        return inputs * narrow * (width + 1) + tensor_width([narrow] * inputs) * width + width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``k q D + (q + 1)^k D``, q = min(D, 8); vectors, so ``tokens`` do not count."""
        narrow = min(width, NARROW)
        return inputs * narrow * width + tensor_width([narrow] * inputs) * width


def tensor_width(widths: Sequence[int]) -> int:
    """Entries of the outer product of vectors of these widths, a 1 before each."""
    return math.prod(width + 1 for width in widths)


def check_tensor_width(widths: Sequence[int]) -> None:
    """Raise a SpaceError if the outer product of vectors this wide, a 1 before each, were too large to hold."""
    size = tensor_width(widths)
    if size > MAX_TENSOR_WIDTH:
        raise SpaceError(
            f"tensor: the outer product of {len(widths)} inputs of {list(widths)} channels would be {size:,} wide, "
            f"allowed {MAX_TENSOR_WIDTH:,}; use the operator low_rank_tensor, or fewer inputs (fusion.inputs)"
        )


def outer_product(fast: Tensor, slow: Tensor) -> Tensor:
    """(..., a) and (..., b) -> (..., b a), the entries of ``fast`` running fastest."""
    return (slow.unsqueeze(-1) * fast.unsqueeze(-2)).flatten(-2)


def reorder_outer(weight: Tensor, order: Sequence[int]) -> Tensor:
    """Weights (..., a^k) of an outer product whose last input is slowest, for inputs in another order."""
    slots, front = len(order), weight.dim() - 1
    tensor: Tensor = weight.reshape(*weight.shape[:-1], *[round(weight.shape[-1] ** (1 / slots))] * slots)
    places = [front + slots - 1 - place for place in reversed(order)]
    return tensor.permute(*range(front), *places).flatten(front)
