"""What tests of training methods share: a recipe, what a network reads, a problem with a loud and a quiet modality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusionnas.architecture import Node, Point
from fusionnas.data.base import Part
from fusionnas.feature import Feature, InputSpec, Signature
from fusionnas.network import FusionNetwork, build, predict
from fusionnas.run.unit import Checkpoint
from fusionnas.space import SearchSpace
from fusionnas.space.schema import Training
from fusionnas.training.method import Reads
from fusionnas.training.randomness import seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import nll
from fusionnas.training.train import Schedule, Trained, train

VIEWS = {"a": ("a",), "b": ("b", "c")}
SPACE = """
name: two
data: {format: npz, train: train.npz, target: label}
task: {kind: binary, target: label, metric: accuracy}
modalities:
  loud: {kind: vector, encoder: mlp, levels: 1}
  quiet: {kind: vector, encoder: mlp, levels: 1}
fusion: {nodes: 1, width: 8, operators: [OPERATOR]}
"""


def recipe(**training: Any) -> Recipe:
    """Two modalities ``a`` and ``b``, the second in views ``b`` and ``c``."""
    return Recipe(Training(**training), {}, VIEWS)


def reads(*modalities: str) -> Reads:
    """A network over these modalities of ``tiny_space``; all by default."""
    points = [Point(name, level) for name in modalities or ("a", "b", "c") for level in (0, 1)]
    return Reads.of(points, recipe(), width=8, outputs=1)


def two(size: int, seed: int) -> Part:
    """Two vectors (N, 4) that both tell the label: ``loud`` shows its sign, ``quiet`` hides it in a product.

    A training that is done once ``loud`` is understood has not learned ``quiet``.
    """
    generator = torch.Generator().manual_seed(seed)
    sign = torch.randint(0, 2, (size,), generator=generator) * 2.0 - 1
    values = torch.randn(2, size, 4, generator=generator) * 0.3
    first = values[1, :, 1].sign()
    values[0] += 3 * sign.unsqueeze(1)
    values[1, :, 0] += sign * first
    values[1, :, 1] += first
    ids = np.array([f"{seed}-{i}" for i in range(size)])
    inputs = {"loud": Feature.vector(values[0]), "quiet": Feature.vector(values[1])}
    return Part(inputs, (sign > 0).long(), ids, ids)


@dataclass(frozen=True)
class Fitted:
    """A training that has ended."""

    network: FusionNetwork
    part: Part
    trained: Trained

    def without(self, modality: str) -> float:
        """Mean loss where every sample lacks a modality."""
        inputs = {**self.part.inputs, modality: self.part.inputs[modality].absent()}
        return float(nll(predict(self.network, inputs), self.part.target).mean())

    def loss(self) -> float:
        """Mean loss."""
        return float(nll(predict(self.network, self.part.inputs), self.part.target).mean())

    def state(self) -> dict[str, Tensor]:
        """Kept weights."""
        return self.network.state_dict()


def space(operator: str) -> SearchSpace:
    """The space of the problem."""
    return SearchSpace.parse(SPACE.replace("OPERATOR", operator))


def network(operator: str = "additive", *, seed: int = 0) -> FusionNetwork:
    """Both modalities' top levels through one operator."""
    node = Node((Point("loud", 1), Point("quiet", 1)), operator)
    layers = {"loud": ("mlp",), "quiet": ("mlp",)}
    signature = Signature({"loud": InputSpec(4), "quiet": InputSpec(4)}, outputs=1)
    with seeded(seed):
        return build(space(operator), space(operator).architecture([node], layers=layers), signature)


def trained(
    operator: str = "additive", *, epochs: int = 12, checkpoint: Checkpoint | None = None, watch: Any = None,
    select: bool = True, **training: Any,
) -> Fitted:  # fmt: skip
    """The network trained with these settings on 300 samples; judged on 400 others."""
    settings = Training(**{"epochs": epochs, "batch_size": 50, "learning_rate": 0.003, "dropout": 0.0, **training})
    held_out, one = two(400, 2), network(operator)
    schedule = Schedule(held_out if select else None, epochs, epochs)
    used = Recipe(settings, {}, {"loud": ("loud",), "quiet": ("quiet",)})
    ended = train(one, two(300, 1), schedule, used, seed=3, checkpoint=checkpoint, watch=watch)
    return Fitted(one, held_out, ended)
