"""DARTS, first order: alphas by gradient on held-out data, then the decode of exactly what was trained."""

from __future__ import annotations

import math

from fusionnas.architecture import Architecture
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.gradient import Relaxed, supernet_loss, train_supernet
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.pretrain import load_pretrained
from fusionnas.search.price import price
from fusionnas.supernet import Alphas, Supernet, discretize, one_hot
from fusionnas.supernet.mixing import softmax
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.recipe import Recipe

FACTS = MethodFacts(
    summary="softmax mixture of all choices; alphas learned on held-out data; decode of the largest weights",
    source='Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", 2019, arXiv:1806.09055, first order',
    departs=(
        "alphas start at zero and stay still for search.warmup of the epochs; every node has its own input slots, "
        "each a softmax over all fusion points and earlier nodes; the decode takes the best distinct inputs of the "
        "very slots that were trained; the readout's source is searched too"
    ),
)


@register_method("darts", FACTS)
def darts(task: Task) -> Found:
    """One supernet, one finalist."""
    space, seed = task.space, derive(task.seed, "supernet")
    search = space.file.search
    with seeded(seed):
        supernet = Supernet(space, task.data.signature)
    load_pretrained(supernet.encoders, task.pretrained)
    alphas = Alphas(space)
    warm = math.ceil(search.epochs * search.warmup)
    relaxed = Relaxed(
        mixing=lambda alphas, epoch: alphas.mixing(softmax),
        learned=list(alphas.parameters()),
        moves=lambda epoch: epoch >= warm,
        rate=search.alpha_rate,
        price=price(task.problem, alphas.mixing(softmax)),
    )

    def compute(checkpoint: Checkpoint) -> Result:
        history = train_supernet(
            supernet, alphas, task.data, relaxed, Recipe.of(space), epochs=search.epochs, seed=seed,
            checkpoint=checkpoint, watch=task.progress.advance,
        )  # fmt: skip
        found = discretize(space, alphas.mixing(softmax))
        mixed = float(supernet_loss(supernet, alphas.mixing(softmax), task.data.select).mean())
        derived = float(supernet_loss(supernet, one_hot(space, found), task.data.select).mean())
        layers = {
            name: [modality.encoder[int(row.argmax())] for row in alphas.beta[name]]
            for name, modality in space.file.modalities.items()
        }
        facts = {"history": history, "architecture": found.to_json(), "layers": layers,
                 "discretization": {"supernet_loss": mixed, "one_hot_loss": derived}}  # fmt: skip
        return Result(facts, {f"alphas.{k}": v for k, v in alphas.state_dict().items()})

    task.progress.stage("supernet", search.epochs)
    result = task.run.unit("search/darts", compute)
    architecture = Architecture.from_json(result.facts["architecture"])
    layers = {name: tuple(chosen) for name, chosen in result.facts["layers"].items()}
    return Found((architecture,), layers, {k: result.facts[k] for k in ("history", "discretization")})
