"""Quick models without networks, from "one modality" to "anything goes": how much each kind of fusion is worth.

A sum of parts may be as curved as it likes within a modality; only what it lacks across modalities is interaction.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Tables = Mapping[str, Array]

SUM, LINEAR, PRODUCTS, TREES = "sum of parts", "linear on all", "with products", "trees on all"
ADDITIVE, INTERACTIVE = (SUM, LINEAR), (PRODUCTS, TREES)
_PENALTIES = (0.003, 0.03, 0.3)
_PRODUCT_AXES, _TREES, _FOLDS = 6, 200, 5


def probabilities_of(train: Tables, target: Ints, held: Tables, *, classes: int, seed: int) -> dict[str, Array]:
    """Class probabilities (N, C) of held-out samples: of each modality alone (``only X``) and of every kind of fusion.

    Args:
        train, held: per modality (N, F) standardised numbers.
        target: (N,) labels of ``train``; every class occurs.
        classes: number of classes.
        seed: of trees and folds.
    """
    folds = _folds(target, seed)
    found: dict[str, Array] = {}
    parts, held_parts = [], []
    for name in train:
        trees, linear = _trees(seed), _linear(train[name], target, folds)
        out_of_fold = [_out_of_fold(model, train[name], target, folds) for model in (trees, linear)]
        better = int(_loss(out_of_fold[1], target) < _loss(out_of_fold[0], target))
        fitted = (trees, linear)[better].fit(train[name], target)
        found[f"only {name}"] = fitted.predict_proba(held[name])
        parts.append(_logs(out_of_fold[better]))
        held_parts.append(_logs(found[f"only {name}"]))
    if len(train) == 1:
        return found
    stacked = LogisticRegression(C=1.0, max_iter=2000).fit(np.hstack(parts), target)
    found[SUM] = stacked.predict_proba(np.hstack(held_parts))
    together, held_together = np.hstack([*train.values()]), np.hstack([*held.values()])
    found[LINEAR] = _linear(together, target, folds).fit(together, target).predict_proba(held_together)
    crossed, held_crossed = _products(train, held)
    with_products, held_with = np.hstack([together, crossed]), np.hstack([held_together, held_crossed])
    found[PRODUCTS] = _linear(with_products, target, folds).fit(with_products, target).predict_proba(held_with)
    found[TREES] = _trees(seed).fit(together, target).predict_proba(held_together)
    assert all(value.shape[1] == classes for value in found.values())
    return found


def _folds(target: Ints, seed: int) -> Any:
    most = int(min(_FOLDS, np.bincount(target)[np.unique(target)].min()))
    return StratifiedKFold(max(2, most), shuffle=True, random_state=seed % 2**32)


def _trees(seed: int) -> ExtraTreesClassifier:
    return ExtraTreesClassifier(_TREES, min_samples_leaf=3, random_state=seed % 2**32, n_jobs=1)


def _linear(inputs: Array, target: Ints, folds: Any) -> LogisticRegression:
    """Logistic regression with the penalty that does best out of fold."""
    models = [LogisticRegression(C=penalty, max_iter=1000) for penalty in _PENALTIES]
    losses = [_loss(_out_of_fold(model, inputs, target, folds), target) for model in models]
    return models[int(np.argmin(losses))]


def _out_of_fold(model: Any, inputs: Array, target: Ints, folds: Any) -> Array:
    return np.asarray(cross_val_predict(model, inputs, target, cv=folds, method="predict_proba"))


def _loss(probability: Array, target: Ints) -> float:
    return float(-np.log(np.maximum(probability[np.arange(len(target)), target], 1e-9)).mean())


def _logs(probability: Array) -> Array:
    """Centred log-probabilities, one column less than classes."""
    logs = np.log(np.clip(probability, 1e-4, 1.0))
    return np.asarray((logs - logs.mean(1, keepdims=True))[:, 1:])


def _products(train: Tables, held: Tables) -> tuple[Array, Array]:
    """Products of leading components of every two modalities."""
    from sklearn.decomposition import PCA

    axes, held_axes = [], []
    for name in train:
        fitted = PCA(min(_PRODUCT_AXES, train[name].shape[1]), whiten=True, random_state=0).fit(train[name])
        axes.append(fitted.transform(train[name]))
        held_axes.append(fitted.transform(held[name]))
    crossed: list[Array] = []
    held_crossed: list[Array] = []
    for i, j in itertools.combinations(range(len(axes)), 2):
        for tables, into in ((axes, crossed), (held_axes, held_crossed)):
            into.append((tables[i][:, :, None] * tables[j][:, None, :]).reshape(len(tables[i]), -1))
    return np.clip(np.hstack(crossed), -8, 8), np.clip(np.hstack(held_crossed), -8, 8)
