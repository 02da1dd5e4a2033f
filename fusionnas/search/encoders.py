"""Encoders that know no favourite: trained inside the supernet with every fusion path mixed evenly.

No fusion alpha is learned, so no modality can win by being learned first. Where a modality lists several encoders, each
layer's choice is learned after a warm-up, then fixed for the last fifth of the time. Methods that train discrete heads
take their features from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from fusionnas.architecture import Point
from fusionnas.data.base import Part
from fusionnas.device import CPU, compute_device, placed
from fusionnas.feature import Feature
from fusionnas.network import build
from fusionnas.operators import operators
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.budget import Budget
from fusionnas.search.cache import Cache
from fusionnas.search.features import FEATURES, Store, build_caches, content_hash
from fusionnas.search.gradient import Relaxed, Row, SupernetTraining
from fusionnas.search.method import Task
from fusionnas.search.pretrain import load_pretrained
from fusionnas.search.ranks import train_supernet
from fusionnas.search.references import Layers, top
from fusionnas.space import SearchSpace
from fusionnas.supernet import Alphas, Mixing, Supernet
from fusionnas.supernet.mixing import even, level
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.train import Schedule, train

_SHARE = 1 / 3  # of a budget
_FIXED_FROM = 0.8  # share of the time after which layer choices are fixed


@dataclass(frozen=True)
class Encoders:
    """A supernet whose encoders are trained, and the encoder chosen for every layer.

    Attributes:
        supernet: only its encoders count.
        layers: per modality.
        history: rows of the supernet's training; empty where no supernet was trained.
        epochs: that training them took.
    """

    supernet: Supernet
    layers: Layers
    history: list[Row]
    epochs: int


def train_encoders(task: Task, budget: Budget) -> Encoders:
    """See the module; one unit, ``search/supernet``."""
    space, search = task.space, task.space.file.search
    supernet, alphas = fresh_supernet(task)
    searched = any(len(modality.encoder) > 1 for modality in space.file.modalities.values())

    def mixing(alphas: Alphas, share: float) -> Mixing:
        if not searched or share < search.warmup:
            return alphas.mixing(even)
        if share < _FIXED_FROM:
            return alphas.mixing(even, level)
        return with_layers(space, alphas.mixing(even), chosen_layers(space, alphas))

    relaxed = Relaxed(
        mixing=mixing,
        learned=("beta",) if searched else (),
        moves=lambda share: search.warmup <= share < _FIXED_FROM,
        rate=search.alpha_rate,
    )

    def compute(checkpoint: Checkpoint) -> Result:
        training = SupernetTraining(
            supernet, alphas, task.data, relaxed, Recipe.of(task.space), seed=derive(task.seed, "supernet")
        )
        pace = budget.pace("supernet", search.epochs, part=_SHARE, stretch=False)
        history = train_supernet(task, training, pace, checkpoint)
        layers = {name: list(chosen) for name, chosen in chosen_layers(space, alphas).items()}
        tensors = {f"supernet.{k}": v for k, v in supernet.state_dict().items()}
        return Result({"history": history, "layers": layers}, tensors)

    task.progress.stage("supernet", search.epochs)
    result = task.run.unit("search/supernet", compute)
    supernet.load_state_dict({k.removeprefix("supernet."): v for k, v in result.tensors.items()})
    budget.spend(len(result.facts["history"]))
    layers = {name: tuple(chosen) for name, chosen in result.facts["layers"].items()}
    return Encoders(supernet, layers, result.facts["history"], len(result.facts["history"]))


def train_unimodal(task: Task, budget: Budget) -> Encoders:
    """Every encoder trained alone on the labels, the first of its list in all layers; a unit each.

    What only fusion can use has no reason to survive in such features; systems that start from pretrained backbones
    work with them.
    """
    space, epochs, taken = task.space, task.space.file.search.epochs, 0
    left = budget.left()
    if left is not None:
        epochs = max(1, min(epochs, int(left * _SHARE / len(space.file.modalities))))
    supernet, _ = fresh_supernet(task)
    for name in space.file.modalities:
        task.progress.stage(f"encoder of {name}", epochs)

        def compute(checkpoint: Checkpoint, name: str = name) -> Result:
            seed = derive(task.seed, "unimodal", name)
            with seeded(seed):
                network = build(space, space.architecture([], output=top(space, name)), task.data.signature)
            load_pretrained(network, task.pretrained)
            trained = train(
                network, task.data.train, Schedule(task.data.select, epochs, epochs), Recipe.of(space), seed=seed,
                checkpoint=checkpoint, watch=task.progress.advance,
            )  # fmt: skip
            return Result({"epochs": len(trained.history)}, dict(network.encoders[name].state_dict()))

        result = task.run.unit(f"search/encoder/{name}", compute)
        supernet.encoders[name].load_state_dict(result.tensors, strict=False)
        taken += result.facts["epochs"]
    budget.spend(taken)
    return Encoders(supernet, {n: m.encoder[:1] * m.levels for n, m in space.file.modalities.items()}, [], taken)


def fresh_supernet(task: Task) -> tuple[Supernet, Alphas]:
    """Initialised by the task's seed, pretrained encoders loaded."""
    with seeded(derive(task.seed, "supernet")):
        supernet = Supernet(task.space, task.data.signature)
    load_pretrained(supernet, task.pretrained)
    return supernet, Alphas(task.space)


def chosen_layers(space: SearchSpace, alphas: Alphas) -> Layers:
    """The encoder of largest beta for every layer."""
    modalities = space.file.modalities
    return {name: tuple(m.encoder[int(row.argmax())] for row in alphas.beta[name]) for name, m in modalities.items()}


def with_layers(space: SearchSpace, mixing: Mixing, layers: Mapping[str, tuple[str, ...]]) -> Mixing:
    """``mixing`` with one-hot encoder layers."""
    hot = {}
    for name, rows in mixing.layers.items():
        hot[name] = torch.zeros_like(rows)
        for index, encoder in enumerate(layers[name]):
            hot[name][index, space.file.modalities[name].encoder.index(encoder)] = 1.0
    return Mixing(mixing.slots, mixing.operators, hot, mixing.output)


def encode_parts(task: Task, supernet: Supernet, layers: Layers) -> tuple[Cache, Cache]:
    """Features of every fusion point, standardised: of train + alpha, and of select.

    They lie in the run's folder under the hash of weights, layers and data until the search ends.
    """
    encoded = with_layers(task.space, Alphas(task.space).mixing(even), layers)
    parts = {"train": Part.concat(task.data.train, task.data.alpha), "select": task.data.select}
    tokens = any(operators[name].sequence for name in task.space.file.fusion.operators)
    key = content_hash(supernet.encoders.state_dict(), layers, tokens, parts)
    store = Store(task.run.path / FEATURES / key[:16], int(task.space.file.search.cache_memory * 1e9))
    device = compute_device(task.space.file.execution.device)

    def encode(inputs: Mapping[str, Feature]) -> dict[Point, Feature]:
        found = supernet.encode({name: feature.to(device) for name, feature in inputs.items()}, encoded)
        return {point: feature.to(CPU) for point, feature in found.items()}

    supernet.eval()
    with placed(device, supernet):
        caches = build_caches(encode, parts, task.space.points(), tokens=tokens, store=store)
    return caches["train"], caches["select"]
