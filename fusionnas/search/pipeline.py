"""The whole way from a space and a data set to a tested network: method, finalists, final networks, one test.

    method -> finalists -> choice on select -> final networks and baselines over seeds -> test, opened once
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.data.base import Dataset
from fusionnas.network import predict
from fusionnas.run.unit import Checkpoint, Result
from fusionnas.search.compare import paired, summary, verdict
from fusionnas.search.features import FEATURES
from fusionnas.search.finalists import Winner, choose
from fusionnas.search.gating import gate_facts, gated
from fusionnas.search.given import given
from fusionnas.search.interaction import interactions
from fusionnas.search.method import Found, Task, methods
from fusionnas.search.missing import logits_without, robustness
from fusionnas.search.references import named, sources
from fusionnas.search.retrain import Job, Retrained, attempt, failed, held_out_losses, retrain
from fusionnas.training.randomness import derive
from fusionnas.training.scoring import scores

OURS = "found"
UNGATED = "ungated"
"""The found architecture without its gates, where it has any."""


@dataclass(frozen=True)
class Outcome:
    """What a search ends with.

    Attributes:
        network: the final network of the first seed: the one to export.
        results: the content of ``results.json``.
    """

    network: Retrained
    results: dict[str, Any]


def run_search(task: Task, dataset: Dataset) -> Outcome:
    """Search, choose, train the final networks and the baselines, open the test part once, compare."""
    found, winner = select(task)
    ours = gated(task, winner.architecture)
    contestants = {OURS: ours, **_baselines(task, winner.architecture, found)}
    if ours != winner.architecture:
        contestants[UNGATED] = winner.architecture
    finals = _final_networks(task, contestants, winner.epochs)
    logits, without, target = _test(task, dataset, finals)
    results = _results(task, dataset, found, winner, finals, logits, target)
    return Outcome(finals[OURS][0], {**results, "robustness": robustness(task, without, target)})


def select(task: Task) -> tuple[Found, Winner]:
    """What the method found, and the choice among its finalists on select; the test part stays closed."""
    others = given(task.space)
    found = methods[task.space.file.search.method](task)
    shutil.rmtree(task.run.path / FEATURES, ignore_errors=True)
    found = replace(found, finalists=tuple(dict.fromkeys((*found.finalists, *others.values()))))
    return found, choose(task, found)


def _baselines(task: Task, ours: Architecture, found: Found) -> dict[str, Architecture]:
    """References, given and random architectures by name; one that equals the found architecture is left out."""
    table = {**named(task.space, found.layers), **given(task.space)}
    rng = random.Random(derive(task.seed, "random baselines"))
    for index in range(task.space.file.search.random):
        table[f"random {index + 1}"] = task.space.sample(rng, nodes=rng.randint(1, task.space.file.fusion.nodes))
    return {name: architecture for name, architecture in table.items() if architecture != ours}


def _final_networks(
    task: Task, contestants: dict[str, Architecture], chosen: dict[Architecture, int]
) -> dict[str, list[Retrained]]:
    """One network per contestant and seed; with ``refit``, on train + alpha + select.

    A baseline that cannot be trained is left out. A refit takes as many epochs as the folds chose on average
    (``chosen``), or select alone, where no more is known.
    """
    seeds = range(task.space.file.search.seeds)
    refit = task.space.file.training.refit
    jobs = {name: [Job(a, seed) for seed in (range(1) if refit else seeds)] for name, a in contestants.items()}
    trained = _train(task, "baselines", jobs)
    if refit:
        epochs = {**{t.architecture: t.epoch for first in trained.values() for t in first}, **chosen}
        jobs = {name: [Job(contestants[name], s, epochs[contestants[name]]) for s in seeds] for name in trained}
        trained = _train(task, "final networks", jobs)
    return trained


def _train(task: Task, stage: str, jobs: dict[str, list[Job]]) -> dict[str, list[Retrained]]:
    """The networks of every contestant that can be trained; ours has to be."""
    task.progress.stage(stage, sum(map(len, jobs.values())))
    trained = attempt(task, [job for group in jobs.values() for job in group])
    retrain(task, jobs[OURS])
    return {name: [trained[job] for job in group] for name, group in jobs.items() if all(j in trained for j in group)}


def _test(
    task: Task, dataset: Dataset, finals: dict[str, list[Retrained]]
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Logits (S, N, C) on the test part, which is opened here and nowhere else, and its labels.

    Of every final network; and, by modality, of ours without it.
    """
    task.progress.stage("test", 1)

    def opened() -> None:
        # A run that was killed between opening and scoring finishes the same opening.
        if not task.run.recorded("test_opened"):
            task.run.record("test_opened", networks=sum(map(len, finals.values())), samples=dataset.test.size)

    def compute(checkpoint: Checkpoint) -> Result:
        part = dataset.test.open(opened)
        logits = {
            name: torch.stack([predict(t.network(task.problem), part.inputs) for t in trained])
            for name, trained in finals.items()
        }
        without = logits_without(task, finals[OURS], part)
        return Result({}, {"target": part.target, **{f"logits.{name}": value for name, value in logits.items()},
                           **{f"without.{source}": value for source, value in without.items()}})  # fmt: skip

    tensors = task.run.unit("test", compute).tensors
    without = {key.removeprefix("without."): v for key, v in tensors.items() if key.startswith("without.")}
    return {name: tensors[f"logits.{name}"] for name in finals}, without, tensors["target"]


def _results(
    task: Task,
    dataset: Dataset,
    found: Found,
    winner: Winner,
    finals: dict[str, list[Retrained]],
    logits: dict[str, Tensor],
    target: Tensor,
) -> dict[str, Any]:
    space, select = task.space, task.data.select
    name = space.file.task.metric
    chosen = winner.trained[0]
    assert chosen.held_out is not None
    table = {baseline: summary(value, target) for baseline, value in logits.items()}
    rivals = {baseline: value for baseline, value in logits.items() if baseline != OURS}
    against = paired(logits[OURS], rivals, target, name, generator=np.random.default_rng(task.seed))
    generator = torch.Generator().manual_seed(derive(task.seed, "pairs"))
    pairs = interactions(space, chosen.network(task.problem), select.inputs, generator=generator)
    read = sources(space, winner.architecture)
    known_as = next((n for n, a in named(space, found.layers).items() if a == winner.architecture), None)
    return {
        "architecture": winner.architecture.id,
        "text": str(winner.architecture),
        "known_as": known_as,
        "modalities": list(read),
        "metric": name,
        "select": scores(chosen.held_out, select.target),
        "test": {metric: row["mean"] for metric, row in table[OURS].items()},
        "spread": {metric: row["std"] for metric, row in table[OURS].items()},
        "baselines": {b: {**_baseline(finals[b][0], table[b]), **against[b]} for b in against},
        "seeds": {"run": task.seed, "networks": space.file.search.seeds},
        "verdict": verdict(
            name, {k: v for k, v in against.items() if k != UNGATED}, read, pairs, known_as=known_as,
            several=len(space.groups()) > 1,
        ),
        **({"gates": gate_facts(task, finals[OURS][0], finals.get(UNGATED, [None])[0])} if _has_gates(finals) else {}),
        "interaction": pairs,
        "inputs": winner.inputs,
        "finalists": winner.table,
        **({} if winner.front is None else {"pareto": winner.front}),
        "failed": failed(task.run),
        "search": {
            "method": space.file.search.method,
            "layers": {name: list(layers) for name, layers in found.layers.items()},
            **found.facts,
        },
        "discretization": {
            # Methods that train candidates alone have no supernet.
            "supernet_loss": found.facts["history"][-1]["loss"] if found.facts["history"] else None,
            "found_loss": float(held_out_losses(task, winner.trained).mean()),
        },
        "cost": {"parameters": _parameters(finals[OURS][0]), "epochs": finals[OURS][0].epoch, **_cost(task, winner)},
        "data": {**dataset.description, "facts": dict(dataset.facts)},
    }


def _baseline(trained: Retrained, row: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "architecture": str(trained.architecture),
        "parameters": _parameters(trained),
        "test": {metric: values["mean"] for metric, values in row.items()},
        "spread": {metric: values["std"] for metric, values in row.items()},
    }


def _has_gates(finals: dict[str, list[Retrained]]) -> bool:
    return finals[OURS][0].architecture.gates is not None


def _cost(task: Task, winner: Winner) -> dict[str, Any]:
    costs = task.problem.costs
    return {} if costs is None else costs.summary(winner.architecture)


def _parameters(trained: Retrained) -> int:
    return sum(value.numel() for value in trained.state.values())
