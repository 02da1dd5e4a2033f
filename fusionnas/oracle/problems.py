"""The spaces and data of the oracle tables: small enough to train every architecture, each hard in its own way.

=========  ===================================================================================  =============
name       data                                                                                 architectures
=========  ===================================================================================  =============
quadrants  handwritten digits (scikit-learn's copy of UCI Optdigits, test part; Alpaydin &      5,748
           Kaynak, 1998, CC BY 4.0) cut into four noisy quadrants: each says a part
views      six lossy views of the same digits, each enough alone for much: redundant            2,331
product    generated: the label is the sign of ``u_a u_b + 0.6 u_c + noise``: only a product    2,331
           of two inputs, joined by the third, is right
=========  ===================================================================================  =============

What is random in the samples is drawn ten times for the test part (the noise on its digits; for ``product`` whole
samples), so that a table's truth owes less to the luck of one draw. A search sees the first draw of the other parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionnas.data.base import Part, SearchData
from fusionnas.errors import InputError, did_you_mean
from fusionnas.feature import Feature, InputSpec, Signature
from fusionnas.search.method import Problem
from fusionnas.space import SearchSpace

Arrays = Mapping[str, NDArray[np.float64]]
Drawn = tuple[Arrays, NDArray[np.int64]]

SPACE = """
name: {name}
task: {{kind: {kind}, target: label, metric: accuracy}}
modalities:
{modalities}
fusion: {{nodes: 2, width: 16, inputs: 2, operators: [additive, multiplicative, gated, low_rank_tensor, mlp]}}
training: {{epochs: 20, patience: 20, batch_size: 64, learning_rate: 0.005, dropout: 0.0, refit: false}}
search: {{heads: 2400, seeds: 1, random: 0}}
"""

_LEVELS = {"quadrants": 1, "views": 0, "product": 1}
_DATA_SEED = 2026  # of noise and split: the data of a table are fixed
TEST_DRAWS = 10


def problem(name: str, *, seed: int = 0, overrides: Sequence[str] = ()) -> tuple[Problem, Part]:
    """The problem as a search receives it, and its test part.

    Args:
        name: quadrants, views or product.
        seed: of the search; the data are always the same.
        overrides: ``search.method=darts`` and the like.
    """
    if name not in problems:
        raise InputError(f"there is no oracle problem '{name}'.{did_you_mean(name, problems)}")
    draws = [problems[name](draw) for draw in range(TEST_DRAWS)]
    arrays, label = draws[0]
    modalities = "\n".join(f"  {m}: {{kind: vector, encoder: mlp, levels: {_LEVELS[name]}}}" for m in arrays)
    kind = "binary" if label.max() == 1 else "multiclass"
    text = SPACE.format(name=name, kind=kind, modalities=modalities)
    space = SearchSpace.parse(text, name=f"{name}.yaml", overrides=overrides)
    train, alpha, select, test = _parts(draws)
    signature = Signature({m: InputSpec(a.shape[1]) for m, a in arrays.items()}, 1 if kind == "binary" else 10)
    return Problem(space, SearchData(train, alpha, select, signature), seed), test


def _quadrants(draw: int) -> Drawn:
    images, label = _digits()
    noisy = images + _noise(draw).normal(0.0, 0.2, images.shape)
    cut = {"upper_left": np.s_[:, :4, :4], "upper_right": np.s_[:, :4, 4:], "lower_left": np.s_[:, 4:, :4],
           "lower_right": np.s_[:, 4:, 4:]}  # fmt: skip
    return {name: noisy[where].reshape(len(images), -1) for name, where in cut.items()}, label


def _views(draw: int) -> Drawn:
    from scipy.fft import dctn

    images, label = _digits()
    noisy = images + _noise(draw).normal(0.0, 0.15, images.shape)
    waves = dctn(noisy, axes=(1, 2), norm="ortho")
    views = {
        "rows": noisy.sum(2),
        "columns": noisy.sum(1),
        "blocks": noisy.reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(len(images), -1)[:, ::2],
        "waves": waves[:, :3, :3].reshape(len(images), -1),
        "upright": np.abs(np.diff(noisy, axis=2)).sum(1),
        "level": np.abs(np.diff(noisy, axis=1)).sum(2),
    }
    return views, label


def _product(draw: int) -> Drawn:
    rng = np.random.default_rng(_DATA_SEED)
    names, size, width = ("a", "b", "c"), 3000, 10
    values = {name: rng.standard_normal((size, width)) for name in names}
    directions = [_unit(rng, width) for _ in names]
    if draw:
        rng = _noise(draw)
        values = {name: rng.standard_normal((size, width)) for name in names}
    a, b, c = (values[name] @ direction for name, direction in zip(names, directions, strict=True))
    label = (a * b + 0.6 * c + rng.normal(0.0, 0.1, size) > 0).astype(np.int64)
    return values, label


def _noise(draw: int) -> np.random.Generator:
    return np.random.default_rng([_DATA_SEED, draw] if draw else _DATA_SEED)


def _unit(rng: np.random.Generator, width: int) -> NDArray[np.float64]:
    direction = rng.standard_normal(width)
    return np.asarray(direction / np.linalg.norm(direction))


def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images / 16.0, digits.target.astype(np.int64)


def _parts(draws: Sequence[Drawn]) -> tuple[Part, Part, Part, Part]:
    """Train 50 %, alpha 10 %, select 20 % of the first draw, test 20 % of all; standardised by train."""
    arrays, label = draws[0]
    order = np.random.default_rng(_DATA_SEED + 1).permutation(len(label))
    cuts = [int(len(label) * share) for share in (0.5, 0.6, 0.8)]
    pieces = [np.sort(piece) for piece in np.split(order, cuts)]
    scales = {name: (a[pieces[0]].mean(0), a[pieces[0]].std(0) + 1e-6) for name, a in arrays.items()}
    train, alpha, select = (_part(draws, 0, scales, piece) for piece in pieces[:3])
    return train, alpha, select, Part.concat(*(_part(draws, k, scales, pieces[3]) for k in range(len(draws))))


def _part(
    draws: Sequence[Drawn], draw: int, scales: Mapping[str, tuple[Any, Any]], rows: NDArray[np.int64]
) -> Part:
    arrays, label = draws[draw]
    inputs = {
        name: Feature.vector(torch.from_numpy(((a - scales[name][0]) / scales[name][1])[rows]).float())
        for name, a in arrays.items()
    }
    groups = np.array([str(row) for row in rows])
    ids = np.array([f"{row}.{draw}" for row in rows]) if draw else groups
    return Part(inputs, torch.from_numpy(label[rows]), ids, groups)


problems = {"quadrants": _quadrants, "views": _views, "product": _product}
"""What is measured, by name: functions that make a draw's arrays per modality and labels."""
