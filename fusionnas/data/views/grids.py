"""Views ``patches`` (images) and ``frames`` (audio): dense arrays as tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fusionnas.data.raw import Grid, Raw
from fusionnas.data.views.base import View, feature
from fusionnas.data.views.scaling import CLIP, Scaling
from fusionnas.errors import DataError
from fusionnas.feature import Feature, InputSpec

if TYPE_CHECKING:
    from fusionnas.space.schema import Modality

SIDE = 8
"""Most patches along the longer side of an image."""


@dataclass(frozen=True)
class Patches(View):
    """Images (N, C, H, W) as square patches in reading order, (N, T, C p p); standardised per channel.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv:2010.11929. Departs from it: the
    patch side p is the smallest that leaves at most eight patches along the longer side; zeros pad what is left over.

    Attributes:
        scaling: statistics per channel.
        shape: (C, H, W).
        patch: side p.
    """

    scaling: Scaling
    shape: tuple[int, ...]
    patch: int

    name: ClassVar[str] = "patches"
    raw: ClassVar[type[Raw]] = Grid

    @classmethod
    def fit(cls, raw: Grid, modality: Modality) -> Patches:
        """Mean and deviation per channel."""
        _check(raw, 4, "image (N, C, H, W)")
        shape = raw.values.shape[1:]
        return cls(_fit_axis(raw.values, 1), tuple(shape), -(-max(shape[1:]) // SIDE))

    def transform(self, raw: Grid) -> Feature:
        """(N, T, C p p)."""
        _same(raw, self.shape)
        side = self.patch
        rows, columns = self.spec.grid
        channels, height, width = self.shape
        standard = np.nan_to_num(_apply_axis(raw.values, self.scaling, 1))
        padded = np.pad(standard, ((0, 0), (0, 0), (0, rows * side - height), (0, columns * side - width)))
        cut = padded.reshape(len(raw), channels, rows, side, columns, side).transpose(0, 2, 4, 1, 3, 5)
        return feature(cut.reshape(len(raw), rows * columns, channels * side * side), raw.present)

    @property
    def spec(self) -> InputSpec:
        """One token per patch."""
        channels, height, width = self.shape
        rows, columns = -(-height // self.patch), -(-width // self.patch)
        return InputSpec(channels * self.patch**2, rows * columns, grid=(rows, columns))


@dataclass(frozen=True)
class Frames(View):
    """Frames (N, T, F), standardised per channel; more than ``steps`` frames are averaged in equal stretches.

    Frames that are NaN throughout are padding and masked.

    Attributes:
        scaling: statistics per channel.
        shape: (T, F) of the raw input.
        tokens: frames given.
    """

    scaling: Scaling
    shape: tuple[int, ...]
    tokens: int

    name: ClassVar[str] = "frames"
    raw: ClassVar[type[Raw]] = Grid

    @classmethod
    def fit(cls, raw: Grid, modality: Modality) -> Frames:
        """Mean and deviation per channel."""
        _check(raw, 3, "audio (N, T, F)")
        return cls(_fit_axis(raw.values, 2), tuple(raw.values.shape[1:]), min(modality.steps, raw.values.shape[1]))

    def transform(self, raw: Grid) -> Feature:
        """(N, tokens, F)."""
        _same(raw, self.shape)
        standard = _apply_axis(raw.values, self.scaling, 2)
        starts = np.arange(self.tokens) * self.shape[0] // self.tokens
        real = ~np.isnan(standard)
        count = np.add.reduceat(real, starts, axis=1, dtype=np.int64)
        mean = np.add.reduceat(np.where(real, standard, 0), starts, axis=1) / np.maximum(count, 1)
        return feature(mean, raw.present, np.asarray(count.any(2)))

    @property
    def spec(self) -> InputSpec:
        """One token per frame."""
        return InputSpec(self.shape[1], self.tokens)


def _fit_axis(values: NDArray[np.float32], axis: int) -> Scaling:
    """Plain statistics along one axis, without ranges or logarithms."""
    count = values.shape[axis]
    other = tuple(i for i in range(values.ndim) if i != axis)
    real = np.isfinite(values)
    number = real.sum(other)
    clean = np.where(real, values, 0).astype(np.float64)
    mean = clean.sum(other) / np.maximum(number, 1)
    wide = mean.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    std = np.sqrt((np.where(real, clean - wide, 0) ** 2).sum(other) / np.maximum(number, 1))
    std = np.where(std > 1e-9 * np.maximum(np.abs(mean), 1), std, 1.0)
    none = (None,) * count
    return Scaling(
        tuple(str(i) for i in range(count)),
        none,
        none,
        (False,) * count,
        tuple((number > 0).tolist()),
        tuple(mean.tolist()),
        tuple(std.tolist()),
        (0,) * count,
    )


def _apply_axis(values: NDArray[np.float32], scaling: Scaling, axis: int) -> NDArray[np.float32]:
    form = [-1 if i == axis else 1 for i in range(values.ndim)]
    mean, std = (np.array(v).reshape(form) for v in (scaling.mean, scaling.std))
    standard: NDArray[np.float32] = np.clip((values - mean) / std, -CLIP, CLIP).astype(np.float32)
    return standard


def _check(raw: Grid, dimensions: int, expected: str) -> None:
    if raw.values.ndim != dimensions:
        raise DataError("an input has the wrong shape", [f"given {raw.values.shape}, expected {expected}"])


def _same(raw: Grid, shape: tuple[int, ...]) -> None:
    if raw.values.shape[1:] != tuple(shape):
        raise DataError(
            "an input has another shape than in training",
            [f"given {raw.values.shape[1:]} per sample, expected {tuple(shape)}"],
        )
