"""Scores of the final networks on test, and whether the search beat its baselines.

Differences are paired: the same test samples, the same resamples of them, means over the same number of seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fusionnas.training.scoring import LOWER_IS_BETTER, applicable, metric, probabilities

RESAMPLES = 400


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


def paired(ours: Tensor, theirs: Tensor, target: Tensor, name: str, *, generator: np.random.Generator) -> dict[str, Any]:
    """How much better ours is (positive = better), with a 95 % bootstrap interval over test samples.

    Args:
        ours, theirs: logits (S, N, C) of S seeds.
        target: labels (N,).
        name: the metric.
        generator: of the resamples; give an equal one to every comparison.
    """
    sign = -1.0 if name in LOWER_IS_BETTER else 1.0
    labels = target.numpy()
    own, other = [probabilities(x) for x in ours], [probabilities(x) for x in theirs]

    def difference(weight: NDArray[np.float64] | None) -> float:
        mean = [np.mean([metric(name, p, labels, weight) for p in side]) for side in (own, other)]
        return sign * float(mean[0] - mean[1])

    drawn = []
    while len(drawn) < RESAMPLES:
        weight = generator.multinomial(len(labels), np.full(len(labels), 1 / len(labels))).astype(np.float64)
        # A ranking metric needs both classes; a resample of a rare class may miss it.
        if own[0].shape[1] > 2 or len(np.unique(labels[weight > 0])) == 2:
            drawn.append(difference(weight))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"difference": difference(None), "interval": [float(low), float(high)]}


def verdict(name: str, results: dict[str, dict[str, Any]], modalities: tuple[str, ...], interaction: dict[str, float]) -> str:
    """The closing sentences: did the search, and did fusion, pay."""
    won = [k for k, v in results.items() if v["interval"][0] > 0]
    lost = [k for k, v in results.items() if v["interval"][1] < 0]
    single = {k: v for k, v in results.items() if k.startswith("only ")}
    text = [f"The found network reads {_list(modalities)}."]
    if len(modalities) == 1:
        text.append("Fusion did not help: one modality alone is as good on select, within one standard error.")
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
        text.append(f"The strongest interaction it uses is {pair.replace(' x ', ' with ')} ({share:.0%} of its output's variance).")
    return " ".join(text)


def _list(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

