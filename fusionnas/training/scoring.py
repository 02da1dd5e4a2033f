"""Losses and metrics of a task, from logits.

A binary task has one logit per sample, a multiclass task one per class. Metrics are scikit-learn's, under its names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import metrics as sk
from torch import Tensor
from torch.nn import functional

Array = NDArray[np.float64]
LOWER_IS_BETTER = frozenset({"log_loss"})


def nll(logits: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood per sample: logits (..., B, C), target (B,) -> (..., B)."""
    if logits.shape[-1] == 1:
        wanted = target.to(logits.dtype).expand(logits.shape[:-1])
        return functional.binary_cross_entropy_with_logits(logits[..., 0], wanted, reduction="none")
    if logits.dim() == 2:
        return functional.cross_entropy(logits, target, reduction="none")
    # Classes first: a softmax over a short innermost dimension takes four times as long.
    log_probability = logits.movedim(-1, 0).contiguous().log_softmax(0)
    return -log_probability.gather(0, target.expand(logits.shape[:-1]).unsqueeze(0)).squeeze(0)


def probabilities(logits: Tensor) -> Array:
    """(N, C) class probabilities; a binary task gets both columns."""
    logits = logits.detach().double()
    if logits.shape[-1] == 1:
        positive = logits[:, 0].sigmoid()
        return np.asarray(torch.stack((1 - positive, positive), dim=1).numpy())
    return np.asarray(logits.softmax(-1).numpy())


def metric(name: str, probability: Array, target: NDArray[np.int64], weight: Array | None = None) -> float:
    """One metric from (N, C) probabilities and (N,) labels, samples weighted by ``weight``.

    Classes without a sample (or without weight) are left out of means over classes.
    """
    classes = np.arange(probability.shape[1])
    if weight is not None:
        probability, target, weight = probability[weight > 0], target[weight > 0], weight[weight > 0]
    if name == "log_loss":
        return float(sk.log_loss(target, probability, labels=classes, sample_weight=weight))
    if name in ("roc_auc", "average_precision"):
        score = sk.roc_auc_score if name == "roc_auc" else sk.average_precision_score
        return float(score(target, probability[:, 1], sample_weight=weight))
    predicted = probability.argmax(1)
    if name == "f1_macro":
        return float(sk.f1_score(target, predicted, sample_weight=weight, average="macro", zero_division=0))
    if name == "accuracy":
        return float(sk.accuracy_score(target, predicted, sample_weight=weight))
    # The mean recall of the classes that occur is the balanced accuracy; scikit-learn's own function warns of others.
    occur = np.unique(target)
    return float(sk.recall_score(target, predicted, sample_weight=weight, labels=occur, average="macro"))


def resampled(name: str, probability: Array, target: NDArray[np.int64], weights: Array) -> Array:
    """``metric`` for many weightings at once, (R, N) -> (R,); a ranking metric sorts its scores once, not R times."""
    if name not in ("roc_auc", "average_precision"):
        return np.array([metric(name, probability, target, weight) for weight in weights])
    score = probability[:, 1]
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)  # last of each run of equal scores
    weights, positive = weights[:, order], target[order] == 1
    hits = np.cumsum(weights * positive, axis=1)[:, ends]
    alarms = np.cumsum(weights * ~positive, axis=1)[:, ends]
    more = np.diff(hits, axis=1, prepend=0.0)
    if name == "average_precision":
        return np.asarray((more * hits / np.maximum(hits + alarms, 1e-300)).sum(1) / hits[:, -1])
    # A positive is above every negative that has not come yet, and level with half of those of equal score.
    below = alarms[:, -1:] - alarms + np.diff(alarms, axis=1, prepend=0.0) / 2
    return np.asarray((more * below).sum(1) / (hits[:, -1] * alarms[:, -1]))


def applicable(classes: int) -> tuple[str, ...]:
    """Names of the metrics that fit a task with so many classes, the ranking ones first."""
    ranking = ("average_precision", "roc_auc") if classes == 2 else ()
    return (*ranking, "accuracy", "balanced_accuracy", "f1_macro", "log_loss")


def scores(logits: Tensor, target: Tensor) -> dict[str, Any]:
    """Every applicable metric; a ranking metric is None where only one class occurs."""
    probability, labels = probabilities(logits), target.numpy()
    one_class = len(np.unique(labels)) < 2
    return {
        name: None if one_class and name in ("roc_auc", "average_precision") else metric(name, probability, labels)
        for name in applicable(probability.shape[1])
    }
