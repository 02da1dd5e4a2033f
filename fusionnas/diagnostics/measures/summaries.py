"""One row of numbers per sample and modality, as models without networks take it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fusionnas.feature import Feature, pool

Array = NDArray[np.float64]


def summary(features: Sequence[Feature], vocabularies: Sequence[int]) -> Array:
    """(N, F): presence, and per view of one modality mean, spread, extremes and share of real tokens per channel.

    Ids become counts per sample, as log(1 + n).

    Args:
        features: the modality's views.
        vocabularies: per view the number of its ids; 0 for numbers.
    """
    columns = [features[0].present.double().unsqueeze(1)]
    for feature, vocabulary in zip(features, vocabularies, strict=True):
        if vocabulary:
            counts = torch.zeros(len(feature.present), vocabulary, dtype=torch.float64)
            counts.scatter_add_(1, feature.values.long() * feature.mask, feature.mask.double())
            columns.append(counts[:, 1:].log1p())
            continue
        values = feature.values.double()
        mean = pool(feature._replace(values=values))
        columns.append(mean)
        if feature.mask.shape[1] > 1:
            real = feature.mask.unsqueeze(-1)
            some = feature.mask.any(1, keepdim=True)
            spread = pool(feature._replace(values=(values - mean.unsqueeze(1)).square() * real)).sqrt()
            low = values.masked_fill(~real, torch.inf).amin(1).masked_fill(~some, 0.0)
            high = values.masked_fill(~real, -torch.inf).amax(1).masked_fill(~some, 0.0)
            columns += [spread, low, high, feature.mask.double().mean(1, keepdim=True)]
    return np.asarray(torch.cat(columns, 1).numpy())


def reduced(train: Array, others: Sequence[Array], most: int, *, seed: int) -> tuple[Array, list[Array]]:
    """Standardised by ``train``, columns that do not vary left out, at most ``most`` principal components."""
    from sklearn.decomposition import PCA

    mean, spread = train.mean(0), train.std(0)
    kept = spread > 1e-9
    scaled = [np.clip((part[:, kept] - mean[kept]) / spread[kept], -8, 8) for part in (train, *others)]
    if not kept.any():
        return np.zeros((len(train), 1)), [np.zeros((len(part), 1)) for part in others]
    if kept.sum() > most:
        axes = PCA(most, random_state=seed).fit(scaled[0])
        scaled = [axes.transform(part) for part in scaled]
    return scaled[0], scaled[1:]


def told_by(train: Mapping[str, Array], held: Mapping[str, Array], first: str, second: str, *, axes: int = 5) -> float:
    """R² on held-out samples of one modality's leading components, as a linear map from another tells them."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge

    count = min(axes, train[second].shape[1])
    wanted = PCA(count, random_state=0).fit(train[second])
    fitted = Ridge(alpha=10.0).fit(train[first], wanted.transform(train[second]))
    truth, guess = wanted.transform(held[second]), fitted.predict(held[first]).reshape(len(held[first]), -1)
    total = float(((truth - wanted.transform(train[second]).mean(0)) ** 2).sum())
    return max(1 - float(((truth - guess) ** 2).sum()) / total, 0.0) if total > 0 else 0.0
