"""Features of every fusion point, encoded once, standardised, ready for training many heads.

Shapes: P fusion points (and one row of nothing at the end), N samples, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fusionnas.architecture import Point
from fusionnas.data.base import Part
from fusionnas.feature import Feature, pool

MOST_TOKENS = 8  # of a cached sequence: attention heads over 24 tokens take fifty times as long as vector heads


@dataclass(frozen=True)
class Cache:
    """Cached features of one part.

    Attributes:
        points: what row p is; the row after the last point is all absent.
        vectors: (P + 1, N, D) masked means over tokens.
        present: (P + 1, N) bool.
        tokens: (P + 1, N, T, D), coarsened to at most ``MOST_TOKENS``, padded to the longest; None where no operator
            reads tokens.
        masks: (P + 1, N, T) bool, or None.
        target: (N,) labels.
    """

    points: tuple[Point, ...]
    vectors: Tensor
    present: Tensor
    tokens: Tensor | None
    masks: Tensor | None
    target: Tensor

    def rows(self, index: Tensor) -> Cache:
        """The samples ``index``."""
        return Cache(
            self.points, self.vectors[:, index], self.present[:, index],
            None if self.tokens is None else self.tokens[:, index],
            None if self.masks is None else self.masks[:, index], self.target[index],
        )  # fmt: skip

    def gather(self, places: Tensor, *, sequence: bool) -> Feature:
        """Row ``places[g]`` for every member g: (G, N, T, D), T = 1 unless ``sequence``."""
        present = self.present[places]
        if not sequence:
            return Feature.vector(self.vectors[places], present)
        assert self.tokens is not None and self.masks is not None
        return Feature(self.tokens[places], self.masks[places], present)


Encode = Callable[[Mapping[str, Feature]], Mapping[Point, Feature]]


@torch.no_grad()
def build_caches(
    encode: Encode, parts: Mapping[str, Part], points: tuple[Point, ...], *, tokens: bool
) -> dict[str, Cache]:
    """Encode each part and standardise every point's channels by the statistics of the first part."""
    scale: dict[Point, tuple[Tensor, Tensor]] = {}
    caches = {}
    for name, part in parts.items():
        features = _encode(encode, part, points)
        for point, feature in features.items():
            if point not in scale:
                scale[point] = _statistics(feature)
            features[point] = _standardized(feature, *scale[point])
        caches[name] = _cache(features, points, part.target, tokens=tokens)
    return caches


def _encode(encode: Encode, part: Part, points: tuple[Point, ...]) -> dict[Point, Feature]:
    chunks = [encode(batch.inputs) for batch in part.batches(512)]
    return {p: Feature(*(torch.cat(t) for t in zip(*(chunk[p] for chunk in chunks), strict=True))) for p in points}


def _statistics(feature: Feature) -> tuple[Tensor, Tensor]:
    real = feature.values[feature.mask]
    if len(real) < 2:
        return torch.zeros(feature.values.shape[-1]), torch.ones(feature.values.shape[-1])
    return real.mean(0), real.std(0).clamp_min(1e-6)


def _standardized(feature: Feature, mean: Tensor, std: Tensor) -> Feature:
    return feature._replace(values=(feature.values - mean) / std * feature.mask.unsqueeze(-1))


def _cache(features: Mapping[Point, Feature], points: tuple[Point, ...], target: Tensor, *, tokens: bool) -> Cache:
    vectors = torch.stack([pool(features[p]) for p in points])
    present = torch.stack([features[p].present for p in points])
    sequences = masks = None
    if tokens:
        coarse = [_coarse(features[p]) for p in points]
        length = max(f.values.shape[-2] for f in coarse)
        pads = [(f, length - f.values.shape[-2]) for f in coarse]
        sequences = _with_nothing(torch.stack([functional.pad(f.values, (0, 0, 0, n)) for f, n in pads]))
        masks = _with_nothing(torch.stack([functional.pad(f.mask, (0, n)) for f, n in pads]))
    return Cache(points, _with_nothing(vectors), _with_nothing(present), sequences, masks, target)


def _coarse(feature: Feature) -> Feature:
    """At most ``MOST_TOKENS`` tokens: masked means of neighbours. Ranks heads; the final networks see every token."""
    tokens = feature.values.shape[-2]
    size = -(-tokens // MOST_TOKENS)
    if size == 1:
        return feature
    missing = -tokens % size
    values = functional.pad(feature.values, (0, 0, 0, missing)).unflatten(-2, (-1, size))
    mask = functional.pad(feature.mask, (0, missing)).unflatten(-1, (-1, size))
    return Feature(pool(Feature(values, mask, mask.any(-1))), mask.any(-1), feature.present)


def _with_nothing(rows: Tensor) -> Tensor:
    return torch.cat((rows, torch.zeros_like(rows[:1])))
