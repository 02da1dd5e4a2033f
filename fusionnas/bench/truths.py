"""Planted truths: two modalities, a label that depends on them in one known way, and operators that can say it or not.

Every truth has a margin: samples close to its decision boundary are not drawn, so that what separates operators is
whether they can express the interaction, not how finely they estimate it. One label in twenty is flipped; the best
possible accuracy is the share that is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from fusionnas.feature import Feature

WIDTH = 8
FLIPPED = 0.05
STEPS = 6
KEYS = 4
Floats = NDArray[np.float64]
Drawn = tuple[Floats, Floats, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]
"""Values (N, T, latents) of both modalities, their masks (N, T), and whether the label is 1 (N,)."""


@dataclass(frozen=True)
class Truth:
    """A way in which a label may depend on two modalities.

    Attributes:
        rule: what the label is, for people.
        own: operators of the family that this truth belongs to.
        wrong: operators that cannot express it, however they are trained.
        draw: number of samples, generator -> latents and labels.
    """

    rule: str
    own: tuple[str, ...]
    wrong: tuple[str, ...]
    draw: Callable[[int, Generator], Drawn]


def _vectors(score: Callable[[Floats, Floats], Floats], margin: float) -> Callable[[int, Generator], Drawn]:
    """Four latents per modality; samples whose score is within ``margin`` of 0 are drawn again."""

    def draw(count: int, rng: Generator) -> Drawn:
        a, b = np.zeros((0, 4)), np.zeros((0, 4))
        while len(a) < count:
            first, second = rng.standard_normal((2, count, 4))
            clear = np.abs(score(first, second)) > margin
            a, b = np.concatenate((a, first[clear])), np.concatenate((b, second[clear]))
        a, b = a[:count], b[:count]
        whole = np.ones((count, 1), dtype=bool)
        return a[:, None], b[:, None], whole, whole, score(a, b) > 0

    return draw


def _at_the_same_step(count: int, rng: Generator) -> Drawn:
    """The sum over steps of the product of a channel of one and a channel of the other."""
    a, b = np.zeros((0, STEPS, 4)), np.zeros((0, STEPS, 4))
    while len(a) < count:
        first, second = rng.standard_normal((2, count, STEPS, 4))
        # The means over time say nothing: they are taken out of both channels.
        for series in (first, second):
            series[..., 0] -= series[..., 0].mean(1, keepdims=True)
        clear = np.abs((first[..., 0] * second[..., 0]).sum(1)) > 1.0
        a, b = np.concatenate((a, first[clear])), np.concatenate((b, second[clear]))
    a, b = a[:count], b[:count]
    whole = np.ones((count, STEPS), dtype=bool)
    return a, b, whole, whole, (a[..., 0] * b[..., 0]).sum(1) > 0


def _wherever_it_is(count: int, rng: Generator) -> Drawn:
    """One holds a key at some step; the other holds all keys in some order, a sign with each: the key's sign."""
    key = rng.integers(0, KEYS, count)
    order = rng.permuted(np.tile(np.arange(KEYS), (count, 1)), axis=1)
    signs = rng.choice([-1.0, 1.0], (count, KEYS))
    ask = np.zeros((count, STEPS, KEYS))
    length = rng.integers(2, STEPS + 1, count)
    ask[np.arange(count), rng.integers(0, length), key] = 2.0
    tell = np.zeros((count, KEYS, KEYS + 1))
    rows = np.arange(count)[:, None]
    tell[rows, np.arange(KEYS), order] = 2.0
    tell[rows, np.arange(KEYS), KEYS] = signs
    mask = np.arange(STEPS) < length[:, None]
    told = signs[rows[:, 0], np.argmax(order == key[:, None], 1)] > 0
    return ask, tell, mask, np.ones((count, KEYS), dtype=bool), told


def _differing(a: Floats, b: Floats) -> Floats:
    """Positive where exactly one of a1 > 0.7 and b1 > -0.7 holds; how far the nearer threshold is."""
    u, v = a[:, 0] - 0.7, b[:, 0] + 0.7
    return np.asarray(-np.sign(u * v) * np.minimum(np.abs(u), np.abs(v)))


def _chosen(a: Floats, b: Floats) -> Floats:
    """a1 or a2, as b1 says; how far the nearer of both decisions is."""
    value = np.where(b[:, 0] > 0, a[:, 0], a[:, 1])
    return np.asarray(np.sign(value) * np.minimum(np.abs(value), np.abs(b[:, 0])))


LINEAR = ("late_logits", "additive", "concat")
POOLED = (*LINEAR, "multiplicative", "bilinear", "tensor", "low_rank_tensor", "polynomial", "film", "gated", "mlp")
TRUTHS: dict[str, Truth] = {
    "additive": Truth(
        "a1 + b1 > 0", own=("late_logits", "additive"), wrong=("bilinear",),
        draw=_vectors(lambda a, b: a[:, 0] + b[:, 0], 0.3),
    ),
    "multiplicative": Truth(
        "a1 b1 > 0", own=("multiplicative", "bilinear", "tensor"), wrong=LINEAR,
        draw=_vectors(lambda a, b: a[:, 0] * b[:, 0], 0.2),
    ),
    "xor": Truth(
        "exactly one of a1 > 0.7 and b1 > -0.7", own=("mlp",), wrong=(*LINEAR, "bilinear"),
        draw=_vectors(_differing, 0.2),
    ),
    "gated": Truth(
        "a1 > 0 where b1 > 0, else a2 > 0", own=("gated",), wrong=(*LINEAR, "bilinear"),
        draw=_vectors(_chosen, 0.2),
    ),
    "aligned": Truth(
        "sum over steps t of a1(t) b1(t) > 0", own=("polynomial_windows", "memory_fusion"),
        wrong=(*POOLED, "concat_steps", "cross_attention"), draw=_at_the_same_step,
    ),
    "unaligned": Truth(
        "b holds a key and a sign at each step, a one key at some step: the sign at that key is +",
        own=("cross_attention", "crossmodal_transformer"), wrong=(*POOLED, "concat_steps", "mag"),
        draw=_wherever_it_is,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """Samples of a truth.

    Attributes:
        features: of both modalities, (N, T, 8) each.
        target: labels (N,).
        best: accuracy of the best possible classifier on them.
    """

    features: tuple[Feature, Feature]
    target: Tensor
    best: float


def sample(truth: Truth, count: int, rotations: tuple[Floats, Floats], rng: Generator) -> Sample:
    """So many samples, their latents among noise and turned by the modality's rotation."""
    *latents, label = truth.draw(count, rng)
    features = []
    for values, mask, rotation in zip(latents[:2], latents[2:], rotations, strict=True):
        noise = rng.standard_normal((*values.shape[:2], WIDTH - values.shape[2]))
        turned: NDArray[Any] = np.concatenate((values, noise), -1) @ rotation
        turned[np.logical_not(mask)] = 0
        real = torch.from_numpy(mask)
        features.append(Feature(torch.from_numpy(turned).float(), real, real.any(-1)))
    flipped = rng.random(count) < FLIPPED
    first, second = features
    return Sample((first, second), torch.from_numpy(label ^ flipped).float(), float(1 - flipped.mean()))


def draw_rotations(rng: Generator) -> tuple[Floats, Floats]:
    """A random rotation of each modality's channels."""
    first, second = (np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0] for _ in range(2))
    return first, second
