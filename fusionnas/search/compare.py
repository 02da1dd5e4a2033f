"""Scores of the final networks on test, and whether the search beat its baselines.

Differences are paired: the same test samples, the same resamples of them, means over the same number of seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fusionnas.training.scoring import LOWER_IS_BETTER, applicable, metric, probabilities, resampled

RESAMPLES = 300
_SMALL = 0.01  # share of the output's variance below which an interaction is not worth naming
_AT_ONCE = 2_000_000  # weights that are held in memory together


def summary(logits: Tensor, target: Tensor) -> dict[str, Any]:
    """Every metric over seeds: logits (S, N, C) -> {metric: {mean, std, values}}; std is None for one seed."""
    table: dict[str, Any] = {}
    probability = [probabilities(one) for one in logits]
    labels = target.numpy()
    for name in applicable(probability[0].shape[1]):
        values = [metric(name, p, labels) for p in probability]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
        table[name] = {"mean": float(np.mean(values)), "std": spread, "values": values}
    return table


def paired(
    ours: Tensor, rivals: Mapping[str, Tensor], target: Tensor, name: str, *, generator: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """Per rival, how much better ours is (positive = better), with a 95 % bootstrap interval over test samples.

    Args:
        ours, rivals: logits (S, N, C) of S seeds; the mean of the metric over seeds is compared.
        target: labels (N,).
        name: the metric.
        generator: of the resamples, which all rivals share.
    """
    sign = -1.0 if name in LOWER_IS_BETTER else 1.0
    labels = target.numpy()
    sides = {key: [probabilities(x) for x in logits] for key, logits in {"": ours, **rivals}.items()}

    def differences(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        means = [np.mean([resampled(name, p, labels, weights) for p in side], axis=0) for side in sides.values()]
        return np.stack([sign * (means[0] - rival) for rival in means[1:]])

    def draw() -> NDArray[np.float64]:
        # A ranking metric needs both classes; a resample of a rare class may miss it.
        while True:
            weight = generator.multinomial(len(labels), np.full(len(labels), 1 / len(labels))).astype(np.float64)
            if ours.shape[-1] > 1 or len(np.unique(labels[weight > 0])) == 2:
                return weight

    if not rivals:
        return {}
    size = max(1, _AT_ONCE // len(labels))
    blocks = [min(size, RESAMPLES - start) for start in range(0, RESAMPLES, size)]
    drawn = np.concatenate([differences(np.stack([draw() for _ in range(count)])) for count in blocks], axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=1)
    whole = differences(np.ones((1, len(labels))))[:, 0]
    return {
        rival: {"difference": float(d), "interval": [float(a), float(b)]}
        for rival, d, a, b in zip(rivals, whole, low, high, strict=True)
    }


def verdict(
    name: str,
    results: dict[str, dict[str, Any]],
    modalities: tuple[str, ...],
    interaction: dict[str, float],
    *,
    known_as: str | None = None,
    several: bool = True,
) -> str:
    """The closing sentences: did the search, and did fusion, pay.

    Args:
        name: the metric.
        results: per baseline, its ``paired`` entry.
        modalities: what the found network reads.
        interaction: share per pair of modalities, largest first.
        known_as: the baseline that the found network is, if it is one.
        several: whether the space has more than one modality, so that there was anything to fuse.
    """
    won = [k for k, v in results.items() if v["interval"][0] > 0]
    lost = [k for k, v in results.items() if v["interval"][1] < 0]
    single = {k: v for k, v in results.items() if k.startswith("only ")}
    same = f" and is the same as {known_as}: nothing richer was better" if known_as else ""
    text = [f"The found network reads {_list(modalities)}{same}."]
    if len(modalities) == 1 and several:
        text.append("Fusion did not help: on held-out samples nothing is better beyond doubt than this modality alone.")
    elif single:
        best = min(single, key=lambda k: single[k]["difference"])
        low, high = single[best]["interval"]
        sure = "better than" if low > 0 else "worse than" if high < 0 else "not distinguishable from"
        text.append(f"On test it is {sure} the best single modality ({best.removeprefix('only ')}): "
                    f"{single[best]['difference']:+.4f} {name}, 95 % interval [{low:+.4f}, {high:+.4f}].")  # fmt: skip
    text.append(f"Of {len(results)} baselines it is clearly better than {len(won)} and clearly worse than {len(lost)}"
                + (f" ({_list(tuple(lost))})" if lost else "") + ".")  # fmt: skip
    if interaction:
        pair, share = next(iter(interaction.items()))
        words = pair.replace(" x ", " with ")
        text.append(
            f"The strongest interaction it uses is {words} ({share:.0%} of its output's variance)."
            if share >= _SMALL
            else "It hardly uses interactions: a sum of what each modality says is nearly the same."
        )
    return " ".join(text)


def _list(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

