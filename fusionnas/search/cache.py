"""Features of every fusion point as heads read them in training: batches, with what is absent and what is dropped.

Made by :mod:`fusionnas.search.features`. Shapes: P fusion points, N samples, B in a batch, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from fusionnas.architecture import Point
from fusionnas.device import CPU
from fusionnas.feature import Feature
from fusionnas.training.randomness import seeded

MOST_TOKENS = 8
"""Of a cached sequence: attention heads over 24 tokens take fifty times as long as vector heads."""


class Batch(NamedTuple):
    """Cached features of some samples; row P, after the last point, is nothing: absent everywhere.

    Attributes:
        vectors: (P + 1, B, D).
        present: (P + 1, B).
        tokens, masks: (P + 1, B, T, D) and (P + 1, B, T), or None.
        target: (B,).
        fused: (B, D) dropout factors of the fused vector; None = no dropout.
    """

    vectors: Tensor
    present: Tensor
    tokens: Tensor | None
    masks: Tensor | None
    target: Tensor
    fused: Tensor | None

    @property
    def complete(self) -> bool:
        """Whether nothing but that last row is absent anywhere; elsewhere than on a CPU it would take long to know."""
        return self.present.device.type == "cpu" and bool(self.present[:-1].all())

    def to(self, device: torch.device) -> Batch:
        """The same on a device; itself where it is there."""
        if self.target.device == device:
            return self
        return Batch._make(None if tensor is None else tensor.to(device) for tensor in self)

    def features(self, rows: Tensor, *, tokens: bool) -> Feature:
        """Row ``rows[g]`` for every member g: (G, B, T, D), T = 1 unless ``tokens``."""
        present = self.present.index_select(0, rows)
        if not tokens:
            return Feature(self.vectors.index_select(0, rows).unsqueeze(-2), present.unsqueeze(-1), present)
        assert self.tokens is not None and self.masks is not None
        return Feature(self.tokens.index_select(0, rows), self.masks.index_select(0, rows), present)

    def feature(self, row: int, *, tokens: bool) -> Feature:
        """One row: (B, T, D)."""
        present = self.present[row]
        if not tokens:
            return Feature(self.vectors[row].unsqueeze(-2), present.unsqueeze(-1), present)
        assert self.tokens is not None and self.masks is not None
        return Feature(self.tokens[row], self.masks[row], present)

    def dropped(self, fused: Tensor) -> Tensor:
        """Dropout on a fused vector (..., B, D)."""
        return fused if self.fused is None else fused * self.fused


@dataclass(frozen=True)
class Cache:
    """Cached features of one part; tensors may lie in files, of which only what is read comes into memory.

    Attributes:
        points: what place p is.
        vectors: (N, P, D) masked means over tokens.
        present: (N, P) bool.
        tokens: (N, P, T, D), coarsened to at most ``MOST_TOKENS``, padded to the longest; None where no operator
            reads tokens.
        masks: (N, P, T) bool, or None.
        target: (N,) labels.
    """

    points: tuple[Point, ...]
    vectors: Tensor
    present: Tensor
    tokens: Tensor | None
    masks: Tensor | None
    target: Tensor

    def batches(
        self, size: int, dropout: float = 0.0, *, seed: int | None = None, device: torch.device = CPU
    ) -> Iterator[Batch]:
        """All samples, ``size`` at a time, on ``device``; with a seed shuffled and with dropout, without one neither.

        A channel of a point is dropped for all of a sample's tokens, and for every head that reads it; alike on every
        device.
        """
        if seed is None:
            for index in torch.arange(len(self.target)).split(size):
                yield self._batch(index, 0.0).to(device)
            return
        order = torch.randperm(len(self.target), generator=torch.Generator().manual_seed(seed))
        with seeded(seed):
            for index in order.split(size):
                yield self._batch(index, dropout).to(device)

    def _batch(self, index: Tensor, dropout: float) -> Batch:
        vectors, tokens = _by_point(self.vectors[index]), None if self.tokens is None else _by_point(self.tokens[index])
        fused = None
        if dropout:
            kept = functional.dropout(torch.ones_like(vectors), dropout)
            # The row of nothing has no use for its factors: they serve the fused vector.
            fused, vectors = kept[-1], vectors * kept
            tokens = None if tokens is None else tokens * kept.unsqueeze(-2)
        masks = None if self.masks is None else _by_point(self.masks[index])
        return Batch(vectors, _by_point(self.present[index]), tokens, masks, self.target[index], fused)


def _by_point(rows: Tensor) -> Tensor:
    """(B, P, ...) -> (P + 1, B, ...), the last all zero."""
    out = rows.new_zeros(rows.shape[1] + 1, rows.shape[0], *rows.shape[2:])
    out[:-1] = rows.transpose(0, 1)
    return out
