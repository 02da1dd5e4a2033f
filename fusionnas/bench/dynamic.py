"""What gates save in wall-clock time, and what that costs in score, on three real data sets.

Per set: one architecture, trained without gates, and with them at several cost weights, all for the same epochs on the
same parts; late fusion of the same encoders beside it. ``chosen`` marks the cost weight that the select part speaks
for: of those that lose at most 0.3 points there, mean over seeds, against the best of the ungated network and all
weights, the one that spends least there. ``score`` is that of the test part, which nothing is chosen by; milliseconds
are measured side by side in this process, batch after batch, for batches of 1, 64 and 256. The plot shows score against
milliseconds.

DynMM's mark (Xue & Marculescu, 2023, arXiv:2204.00102): 46.5 % fewer multiply-adds at 0.47 points, computed from
constants while everything is run. Ours is time.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from fusionnas.architecture import Architecture, Node, NodeRef, Point
from fusionnas.bench.base import register_bench, write_table
from fusionnas.bench.dynamic_plot import write_plot
from fusionnas.cost import Costs, measure_costs
from fusionnas.data.base import Dataset, Part
from fusionnas.data.load import load_dataset
from fusionnas.feature import Feature
from fusionnas.gates.choice import with_gates
from fusionnas.gates.network import GatedNetwork
from fusionnas.gates.spending import Spending, shares
from fusionnas.network import FusionNetwork, build, predict
from fusionnas.run.progress import Progress
from fusionnas.space import SearchSpace
from fusionnas.training.gated import GatedTraining, SecondStage, train_paths
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import scores
from fusionnas.training.train import Schedule, train

BATCHES = (1, 64, 256)
SEEDS = 3
TURNS = 40  # batches that are timed, at most
TOLERATED = 0.3
"""Points that the chosen cost weight may lose on the select part."""


@dataclass(frozen=True)
class Setting:
    """One data set.

    Attributes:
        space: bundled space.
        overrides: of the space.
        nodes: the architecture.
        level: of the gates.
        weights: cost weights of the curve.
        metric: score.
        epochs: of the first and the second stage; the ungated network trains for the sum.
        data_path: where the data lie; None: where they usually do.
    """

    space: str
    overrides: tuple[str, ...]
    nodes: tuple[Node, ...]
    level: str
    weights: tuple[float, ...]
    metric: str
    epochs: tuple[int, int]
    data_path: Path | None = None

    def loaded(self) -> tuple[SearchSpace, Dataset]:
        """The space, and its data from ``data_path`` (None: from where they usually lie)."""
        space = SearchSpace.load(self.space, self.overrides)
        return space, load_dataset(space, data_path=self.data_path)


@dataclass(frozen=True)
class Problem:
    """A setting with its data, its architecture without gates, and measured costs."""

    setting: Setting
    space: SearchSpace
    dataset: Dataset
    architecture: Architecture
    costs: Costs

    @property
    def gated(self) -> Architecture:
        """The architecture with the gates that pay here."""
        return with_gates(self.architecture, self.costs, self.setting.level)

    def fresh(self, architecture: Architecture, seed: int) -> FusionNetwork:
        """Untrained weights; equal seeds, equal weights."""
        with seeded(derive(seed, "weights")):
            return build(self.space, architecture, self.dataset.search.signature)


def _node(operator: str, *inputs: str | int) -> Node:
    """``_node("mlp", "image.1", 0)``: a fusion point by its text, an earlier node by its number."""
    found: list[Point | NodeRef] = []
    for one in inputs:
        name, _, level = str(one).rpartition(".")
        found.append(NodeRef(one) if isinstance(one, int) else Point(name, int(level)))
    return Node(tuple(found), operator)


SETTINGS = {
    # Tables and summaries are cheap; the series encoders are what costs.
    "physionet2012": Setting(
        "ehr", ("data=physionet2012",),
        (_node("mlp", "static.1", "vitals_summary.1", "labs_summary.1"), _node("gated", "vitals.1", "labs.1", 0)),
        "node", (0.003, 0.01, 0.03, 0.1), "roc_auc", (12, 6),
    ),
    # The first layers of both, and the deeper ones only where that leaves doubt.
    "avdigits": Setting(
        "avdigits", (),
        (_node("mlp", "image.1", "audio.2"), _node("mlp", "image.4", "audio.4", 0)),
        "node", (0.01, 0.03, 0.1), "accuracy", (15, 8),
    ),
    # Spectra are cheap; the recurrent layers over the series themselves are what costs.
    "sensors": Setting(
        "sensors", ("modalities.acc.encoder=gru", "modalities.gyro.encoder=gru", "modalities.mag.encoder=gru"),
        (_node("mlp", "acc_spectrum.1", "gyro_spectrum.1", "mag_spectrum.1"),
         _node("additive", "acc.2", "gyro.2", "mag.2", 0)),
        "node", (0.003, 0.02, 0.1), "accuracy", (15, 8),
    ),
}  # fmt: skip


@register_bench("dynamic")
def dynamic(output: Path, *, seed: int, workers: int, progress: Progress) -> list[dict[str, Any]]:
    """Gated against ungated networks on PhysioNet 2012, avdigits and sensors: score and milliseconds."""
    rows = measured(SETTINGS, seed=seed, workers=workers, progress=progress)
    choose(rows)
    write_table(output, rows)
    write_plot(output.with_suffix(".svg"), rows)
    return rows


def measured(settings: Mapping[str, Setting], *, seed: int, workers: int, progress: Progress) -> list[dict[str, Any]]:
    """Rows of all settings, ``SEEDS`` seeds each."""
    jobs = list(itertools.product(settings, range(seed, seed + SEEDS)))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        problems = {name: _problem(setting) for name, setting in settings.items()}
        progress.stage("training", len(jobs))
        trained = dict(zip(jobs, _trained(jobs, problems, workers, progress), strict=True))
        progress.stage("measuring", len(jobs))
        rows = []
        for (name, one), states in trained.items():
            rows += list(_rows(name, problems[name], one, states))
            progress.advance({"set": name})
    finally:
        torch.set_num_threads(threads)
    return rows


def _problem(setting: Setting) -> Problem:
    space, dataset = setting.loaded()
    architecture = space.architecture(setting.nodes)
    costs = measure_costs(space, dataset.search.signature, batch=BATCHES[1], also=[architecture])
    return Problem(setting, space, dataset, architecture, costs)


def _trained(
    jobs: Sequence[tuple[str, int]], problems: Mapping[str, Problem], workers: int, progress: Progress
) -> Iterator[Mapping[str, Mapping[str, Tensor]]]:
    """Every job's networks, in order; ``workers`` jobs at a time."""
    if workers == 1:
        for name, seed in jobs:
            yield _train(problems[name], seed)
            progress.advance({"set": name})
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [
            pool.submit(_train_loaded, problems[name].setting, problems[name].costs, seed) for name, seed in jobs
        ]
        for (name, _), future in zip(jobs, futures, strict=True):
            yield future.result()
            progress.advance({"set": name})


def _train_loaded(setting: Setting, costs: Costs, seed: int) -> Mapping[str, Mapping[str, Tensor]]:
    """As ``_train``, in a process that loads the data itself; costs are those measured in the first one."""
    torch.set_num_threads(1)
    space, dataset = setting.loaded()
    return _train(Problem(setting, space, dataset, space.architecture(setting.nodes), costs), seed)


def _train(problem: Problem, seed: int) -> Mapping[str, Mapping[str, Tensor]]:
    """Weights by name: ``ungated``, ``late fusion``, and ``gated W`` per cost weight."""
    space, data, setting = problem.space, problem.dataset.search, problem.setting
    first, second = setting.epochs
    recipe, whole = Recipe.of(space), first + second
    states: dict[str, Mapping[str, Tensor]] = {}
    kinds = {"ungated": problem.architecture, "late fusion": late_fusion(space, setting)}
    for label, architecture in kinds.items():
        network = problem.fresh(architecture, seed)
        train(network, data.train, Schedule(None, whole, whole), recipe, seed=seed)
        states[label] = network.state_dict()
    network = problem.fresh(problem.gated, seed)
    assert isinstance(network, GatedNetwork), f"{space.name}: no gate is worth it on this machine"
    gating = space.file.fusion.gates.model_copy(update={"level": setting.level, "epochs": second})
    spending = Spending.of(problem.gated, problem.costs)
    plan = GatedTraining(data.train, data.alpha, Schedule(None, first, first), gating, spending, recipe)
    paths = train_paths(network, plan, seed=seed)
    start = copy.deepcopy(network.state_dict())
    for weight in setting.weights:
        network.load_state_dict(start)
        priced = gating.model_copy(update={"cost_weight": weight})
        with seeded(derive(seed, "gates")):
            SecondStage(network, replace(plan, gating=priced), seed, paths).run()
        states[f"gated {weight:g}"] = copy.deepcopy(network.state_dict())
    return states


def late_fusion(space: SearchSpace, setting: Setting) -> Architecture:
    """The sum of one readout per modality's deepest level in use, over the same encoders."""
    architecture = space.architecture(setting.nodes)
    points = tuple(Point(name, len(layers)) for name, layers in architecture.layers)
    return space.architecture([Node(points, "additive")])


def _rows(
    name: str, problem: Problem, seed: int, states: Mapping[str, Mapping[str, Tensor]]
) -> Iterator[dict[str, Any]]:
    """Score and milliseconds of every network of one set and seed."""
    setting, gated = problem.setting, problem.gated
    spending = Spending.of(gated, problem.costs)
    test = problem.dataset.test.open(lambda: None)
    kinds = {"ungated": problem.architecture, "late fusion": late_fusion(problem.space, setting)}
    networks = {}
    for label, state in states.items():
        networks[label] = problem.fresh(kinds.get(label, gated), seed)
        networks[label].load_state_dict(dict(state))
        networks[label].eval()
    spent = {size: milliseconds(networks, test.inputs, size) for size in BATCHES}
    select = problem.dataset.search.select
    parts = {"select": select, "score": test}
    found = {label: {key: _score(network, part, setting.metric) for key, part in parts.items()}
             for label, network in networks.items()}  # fmt: skip
    for label, network in networks.items():
        told, before = ({}, {}) if not isinstance(network, GatedNetwork) else (
            shares(network, test.inputs, spending), shares(network, select.inputs, spending))  # fmt: skip
        lost = {key: 100 * (found["ungated"][key] - found[label][key]) for key in parts}
        yield {
            "set": name,
            "seed": seed,
            "network": label.split()[0] if label.startswith("gated") else label,
            "cost_weight": label.split()[1] if label.startswith("gated") else "",
            "chosen": "",
            "metric": setting.metric,
            "select": f"{found[label]['select']:.4f}",
            "select_lost": f"{lost['select']:+.2f}",
            "select_cost": f"{before['cost_share']:.3f}" if before else "",
            "score": f"{found[label]['score']:.4f}",
            "points_lost": f"{lost['score']:+.2f}",
            **{f"ms_{size}": f"{spent[size][label]:.3f}" for size in BATCHES},
            **{f"saved_{size}": f"{1 - spent[size][label] / spent[size]['ungated']:+.3f}" for size in BATCHES},
            "gates": str(gated.gates) if told else "",
            "runs": " ".join(f"{gate}={share:.2f}" for gate, share in told.get("runs", {}).items()),
            "cost_share": f"{told['cost_share']:.3f}" if told else "",
        }


def choose(rows: Sequence[dict[str, Any]]) -> None:
    """Mark each set's cost weight with a * in ``chosen``, by its means over seeds on the select part.

    Of the weights that lose at most ``TOLERATED`` points against the best of the ungated network and all weights, the
    one that spends least; where all lose more, the one that loses least. Against the best, since the ungated network
    alone is one draw: where that is a poor one, any weight would do.
    """
    for name in dict.fromkeys(row["set"] for row in rows):
        gated = [row for row in rows if row["set"] == name and row["network"] == "gated"]
        weights: dict[str, list[dict[str, Any]]] = {}
        for row in gated:
            weights.setdefault(row["cost_weight"], []).append(row)
        lost = {weight: mean(float(row["select_lost"]) for row in some) for weight, some in weights.items()}
        spent = {weight: mean(float(row["select_cost"]) for row in some) for weight, some in weights.items()}
        least = min(0.0, *lost.values())  # the ungated network loses nothing against itself
        within = [weight for weight in weights if lost[weight] - least <= TOLERATED]
        best = min(within, key=spent.__getitem__) if within else min(lost, key=lost.__getitem__)
        for row in weights[best]:
            row["chosen"] = "*"


def _score(network: FusionNetwork, test: Part, metric: str) -> float:
    return float(scores(predict(network, test.inputs), test.target)[metric])


@torch.no_grad()
def milliseconds(
    networks: Mapping[str, FusionNetwork], inputs: Mapping[str, Feature], size: int, *, samples: int = 1024
) -> dict[str, float]:
    """Mean milliseconds per batch of each network on the same batches, in turn.

    Of seven passes over a batch the fastest counts: what else runs on the machine only ever adds. Between batches a
    gated network's time differs, so there it is the mean. Batches are shuffled: files often lie in order of classes,
    and neighbours take the same route.
    """
    count = len(next(iter(inputs.values())).present)
    turns = max(3, min(samples // size, TURNS))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(count))
    total = dict.fromkeys(networks, 0.0)
    for turn in range(turns):
        rows = order[torch.arange(turn * size, (turn + 1) * size) % count]
        batch = {name: feature.rows(rows) for name, feature in inputs.items()}
        best = dict.fromkeys(networks, float("inf"))
        for _ in range(7):
            for label, network in networks.items():
                start = time.perf_counter()
                network(batch)
                best[label] = min(best[label], time.perf_counter() - start)
        for label, spent in best.items():
            total[label] += 1000 * spent / turns
    return total
