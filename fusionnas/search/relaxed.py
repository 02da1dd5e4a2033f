"""What all relaxed methods share: one supernet is trained, and what it learned is decoded."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.budget import Budget
from fusionnas.search.decoder import Learned, decoders
from fusionnas.search.diversity import diversity
from fusionnas.search.encoders import fresh_supernet
from fusionnas.search.gradient import Relaxed, SupernetTraining, supernet_loss, told
from fusionnas.search.method import Found, Task
from fusionnas.search.price import price
from fusionnas.search.ranks import train_supernet
from fusionnas.search.references import Layers
from fusionnas.supernet import Alphas, Mixing, Supernet, one_hot
from fusionnas.training.randomness import derive
from fusionnas.training.recipe import Recipe


def relaxed_search(task: Task, relaxed: Relaxed, *, decoder: str = "argmax") -> Found:
    """Train a supernet as ``relaxed`` says and decode it; ``search.decoder`` goes before ``decoder``.

    The readout mixes nodes alone: a mixture of fusion points there would fuse by itself, and what it learned would be
    lost by the decode. Single points are references, which compete with every finalist later.

    One unit, ``search/supernet``, and what the decoder adds.
    """
    search, budget = task.space.file.search, Budget(task)
    decode = decoders[search.decoder or decoder]
    supernet, alphas = fresh_supernet(task)
    alphas.close("output", 0, range(len(task.space.points())))
    training = SupernetTraining(
        supernet, alphas, task.data, _with_penalties(task, relaxed, alphas), Recipe.of(task.space),
        seed=derive(task.seed, "supernet"),
    )  # fmt: skip

    def compute(checkpoint: Checkpoint) -> Result:
        pace = budget.pace("supernet", search.epochs, part=1 - decode.share)
        history = train_supernet(task, training, pace, checkpoint)
        tensors = {f"supernet.{k}": v for k, v in supernet.state_dict().items()}
        return Result({"history": history}, {**tensors, **{f"alphas.{k}": v for k, v in alphas.state_dict().items()}})

    task.progress.stage("supernet", search.epochs)
    result = task.run.unit("search/supernet", compute)
    for name, module in (("supernet.", supernet), ("alphas.", alphas)):
        module.load_state_dict({k.removeprefix(name): v for k, v in result.tensors.items() if k.startswith(name)})
    history = result.facts["history"]
    budget.spend(len(history))
    mixing = relaxed.at_rest(alphas)
    loss = float(supernet_loss(supernet, mixing, task.data.select).mean())
    decoded = decode(Learned(task, training, mixing, budget))
    facts = {
        **told(task.space, history),
        "discretization": {"supernet_loss": loss, "one_hot_loss": _one_hot_loss(task, supernet, decoded.finalists[0])},
        **decoded.facts,
        "spent": budget.report(),
    }
    return Found(decoded.finalists, _layers(task, mixing, decoded.finalists[0]), facts)


def _with_penalties(task: Task, relaxed: Relaxed, alphas: Alphas) -> Relaxed:
    """The alphas also pay for what a network costs, and for slots that read the same modality."""
    paid, alike = price(task.problem, relaxed.at_rest(alphas)), diversity(task.space)

    def penalty(alphas: Alphas, mixing: Mixing) -> Tensor:
        return relaxed.penalty(alphas, mixing) + paid(mixing) + alike(mixing)

    return replace(relaxed, penalty=penalty)


def _one_hot_loss(task: Task, supernet: Supernet, architecture: Architecture) -> float | None:
    if not task.space.contains(architecture):
        return None
    return float(supernet_loss(supernet, one_hot(task.space, architecture), task.data.select).mean())


def _layers(task: Task, mixing: Mixing, architecture: Architecture) -> Layers:
    """The architecture's own layers, above them those of the largest weight."""
    own, layers = dict(architecture.layers), {}
    for name, modality in task.space.file.modalities.items():
        largest = tuple(modality.encoder[int(row.argmax())] for row in mixing.layers[name])
        layers[name] = (*own.get(name, ()), *largest[len(own.get(name, ())) :])
    return layers
