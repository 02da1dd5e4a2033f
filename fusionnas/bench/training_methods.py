"""What each training method is for, and whether it does it: planted problems on which plain training goes wrong.

* ``neglected``: two vectors both tell the label; ``loud`` shows it, ``quiet`` hides it in a product of two numbers.
  Plain training is done once ``loud`` is understood. Judged with both, and with ``loud`` missing.
* ``prejudiced``: the same, but in training ``loud`` only agrees with the label in 98 of 100 samples, and when it is
  judged it is a coin.
* ``overfitting``: ``loud`` is 60 numbers of which one tells half the label and the others are noise, ``quiet`` four
  numbers that tell the other half; 200 samples to train on. Judged as it was trained.

All train for 14 epochs and keep the last: where training misleads, held-out samples of its kind mislead too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionnas.architecture import Node, Point
from fusionnas.bench.base import register_bench, write_table
from fusionnas.data.base import Part
from fusionnas.feature import Feature, InputSpec, Signature
from fusionnas.network import FusionNetwork, build, predict
from fusionnas.run.progress import Progress
from fusionnas.space import SearchSpace
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import scores
from fusionnas.training.train import Schedule, train

SEEDS = 5
METHODS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "missing": ("robustness={missing: 0.3}",),
    "noise": ("robustness={noise: 0.5}",),
    "rank": ("robustness={rank: 0.3}",),
    "warm_start": ("warm_start={kind: unimodal, epochs: 5}",),
    "ogm_ge": ("modulation=ogm_ge",),
    "blending offline": ("blending={kind: offline, epochs: 8}",),
    "blending online": ("blending={kind: online, epochs: 4}",),
    "rubi": ("debias={kind: rubi, modalities: [loud]}",),
    "functional_entropy": ("debias={kind: functional_entropy, weight: 0.1}",),
}
SPACE = """
name: methods
data: {format: npz, train: made_in_memory.npz, target: label}
task: {kind: binary, metric: accuracy}
modalities:
  loud: {kind: vector, encoder: mlp, levels: 1}
  quiet: {kind: vector, encoder: mlp, levels: 1}
fusion: {nodes: 1, width: 8, operators: [film]}
training: {epochs: 14, batch_size: 50, learning_rate: 0.003, dropout: 0.0}
"""


@dataclass(frozen=True)
class Planted:
    """A problem: samples to train on, and samples to judge by, which may differ from them."""

    train: Part
    judged: Part


@register_bench("training_methods")
def training_methods(output: Path, *, seed: int, workers: int, progress: Progress) -> list[dict[str, Any]]:
    """Every training method on three planted problems, five seeds: accuracy, and accuracy with a modality missing."""
    progress.stage("training methods", len(METHODS) * len(PROBLEMS) * SEEDS)
    rows = []
    for name, make in PROBLEMS.items():
        for method, settings in METHODS.items():
            for number in range(seed, seed + SEEDS):
                rows.append({"problem": name, "method": method, "seed": number, **_one(make(number), settings, number)})
                progress.advance({"accuracy": rows[-1]["accuracy"]})
    write_table(output, rows)
    return rows


def _one(problem: Planted, settings: tuple[str, ...], seed: int) -> dict[str, Any]:
    space = SearchSpace.parse(SPACE, overrides=[f"training.{setting}" for setting in settings])
    architecture = space.architecture(
        [Node((Point("loud", 1), Point("quiet", 1)), "film")], layers={"loud": ("mlp",), "quiet": ("mlp",)}
    )
    widths = {name: InputSpec(feature.values.shape[-1]) for name, feature in problem.train.inputs.items()}
    with seeded(derive(seed, "weights")):
        network = build(space, architecture, Signature(widths, outputs=1))
    epochs, inputs = space.file.training.epochs, problem.judged.inputs
    train(network, problem.train, Schedule(None, epochs, epochs), Recipe.of(space), seed=seed)
    cases = {
        "accuracy": inputs,
        "without_loud": {**inputs, "loud": inputs["loud"].absent()},
        "without_quiet": {**inputs, "quiet": inputs["quiet"].absent()},
        "noisy": {name: _noisy(feature, derive(seed, "noise", name)) for name, feature in inputs.items()},
    }
    return {key: f"{_accuracy(network, given, problem.judged.target):.4f}" for key, given in cases.items()}


def _accuracy(network: FusionNetwork, inputs: dict[str, Feature], target: Tensor) -> float:
    return float(scores(predict(network, inputs), target)["accuracy"])


def _noisy(feature: Feature, seed: int) -> Feature:
    noise = torch.randn(feature.values.shape, generator=torch.Generator().manual_seed(seed))
    return feature._replace(values=feature.values + noise)


def neglected(seed: int) -> Planted:
    """``loud`` is all that is needed."""
    return Planted(*(_hidden_product(size, [seed, part], agree=1.0) for part, size in enumerate((300, 2000))))


def prejudiced(seed: int) -> Planted:
    """``loud`` is nearly all that is needed, until it is worth nothing."""
    sizes, agree = (400, 2000), (0.98, 0.5)
    return Planted(*(_hidden_product(n, [seed, part], agree=agree[part]) for part, n in enumerate(sizes)))


def overfitting(seed: int) -> Planted:
    """``loud`` has much to remember and little to say."""
    return Planted(*(_halves(size, [seed, part]) for part, size in enumerate((200, 2000))))


PROBLEMS: dict[str, Callable[[int], Planted]] = {
    "neglected": neglected, "prejudiced": prejudiced, "overfitting": overfitting,
}  # fmt: skip


def _hidden_product(size: int, seed: list[int], *, agree: float) -> Part:
    rng = np.random.default_rng(seed)
    sign = rng.integers(0, 2, size) * 2 - 1
    loud, quiet = 0.3 * rng.standard_normal((2, size, 4))
    loud += 3 * np.where(rng.random(size) < agree, sign, -sign)[:, None]
    first = rng.integers(0, 2, size) * 2 - 1
    quiet[:, 0] += sign * first
    quiet[:, 1] += first
    return _part(loud, quiet, sign > 0)


def _halves(size: int, seed: list[int]) -> Part:
    rng = np.random.default_rng(seed)
    loud, quiet = rng.standard_normal((size, 60)), rng.standard_normal((size, 4))
    return _part(loud, quiet, loud[:, 0] + quiet[:, 0] > 0)


def _part(loud: NDArray[Any], quiet: NDArray[Any], label: NDArray[Any]) -> Part:
    inputs = {"loud": Feature.vector(torch.tensor(loud, dtype=torch.float32)),
              "quiet": Feature.vector(torch.tensor(quiet, dtype=torch.float32))}  # fmt: skip
    names = np.array([str(i) for i in range(len(label))])
    return Part(inputs, torch.tensor(label.astype(np.int64)), names, names)
