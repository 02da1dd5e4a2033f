"""From finalists to the winner: retrained end to end, chosen on select, each input ablated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusionnas.architecture import Architecture, Node, NodeRef, Point
from fusionnas.feature import Feature
from fusionnas.search.choice import no_worse, one_standard_error
from fusionnas.search.method import Found, Task
from fusionnas.search.references import named, sources
from fusionnas.search.retrain import Job, Retrained, mean_losses, retrain
from fusionnas.supernet.mixing import reachable
from fusionnas.training.randomness import derive
from fusionnas.training.scoring import nll

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

FINALIST_SEEDS = 2


@dataclass(frozen=True)
class Winner:
    """The chosen architecture and what was measured on the way.

    Attributes:
        trained: its trainings, one per finalist seed.
        table: per finalist: id, modalities, select loss.
        inputs: per input of the winner before removal: loss without it, standard error, kept or removed.
    """

    trained: list[Retrained]
    table: list[dict[str, Any]]
    inputs: list[dict[str, Any]]

    @property
    def architecture(self) -> Architecture:
        """The chosen architecture."""
        return self.trained[0].architecture


def choose(task: Task, found: Found) -> Winner:
    """Retrain the finalists and, as their rivals, all references; choose; drop inputs that the choice ignores."""
    candidates = list(dict.fromkeys([*found.finalists, *named(task.space, found.layers).values()]))
    trained = _train(task, candidates)
    chosen = _best(task, trained)
    inputs = _ablate(task, trained[chosen])
    simpler = without(task.space, candidates[chosen], [i["point"] for i in inputs if i["ignored"]], found.layers)
    if simpler is not None and simpler not in candidates:
        trained += _train(task, [simpler])
        # An ignored input is gone unless the network without it turns out worse.
        if no_worse(mean_losses(task, trained[-1]) - mean_losses(task, trained[chosen])):
            chosen = len(trained) - 1
    return Winner(trained[chosen], [_row(task, t) for t in trained], [_public(i) for i in inputs])


def _train(task: Task, candidates: list[Architecture]) -> list[list[Retrained]]:
    """Every candidate's trainings, one per finalist seed."""
    jobs = [Job(architecture, seed) for architecture in candidates for seed in range(FINALIST_SEEDS)]
    task.progress.stage("retrain finalists", len(jobs))
    trained = retrain(task, jobs)
    return [trained[i : i + FINALIST_SEEDS] for i in range(0, len(trained), FINALIST_SEEDS)]


def _best(task: Task, trained: list[list[Retrained]]) -> int:
    losses = torch.stack([mean_losses(task, t) for t in trained])
    return one_standard_error(losses, [len(sources(task.space, t[0].architecture)) for t in trained])


def _row(task: Task, trained: list[Retrained]) -> dict[str, Any]:
    architecture = trained[0].architecture
    return {
        "id": architecture.id,
        "architecture": str(architecture),
        "modalities": list(sources(task.space, architecture)),
        "loss": float(mean_losses(task, trained).mean()),
    }


@torch.no_grad()
def _ablate(task: Task, trained: list[Retrained]) -> list[dict[str, Any]]:
    """Each input exchanged across samples: how much worse the network gets. Ignored = not beyond doubt."""
    select = task.data.select
    generator = torch.Generator().manual_seed(derive(task.seed, "ablate"))
    order = torch.randperm(len(select), generator=generator)
    rows = []
    architecture = trained[0].architecture
    for point in architecture.points():
        if len(list(architecture.points())) == 1:
            break
        change = torch.stack([_loss_without(task, t, point, order) for t in trained]).mean(0)
        change = change - mean_losses(task, trained)
        mean, error = float(change.mean()), float(change.std()) / len(change) ** 0.5
        rows.append({"point": point, "change": mean, "error": error, "ignored": no_worse(change)})
    return rows


def _loss_without(task: Task, trained: Retrained, point: Point, order: Tensor) -> Tensor:
    network, inputs = trained.network(task.problem), task.data.select.inputs
    features = network.encode(inputs)
    logits = network.head({p: f.rows(order) if p == point else f for p, f in features.items()})
    for name, path in network.wide.items():
        shuffled: Feature = inputs[name].rows(order) if name == point.modality else inputs[name]
        logits = logits + path(shuffled)
    return nll(logits, task.data.select.target)


def without(
    space: SearchSpace, architecture: Architecture, points: list[Point], layers: dict[str, tuple[str, ...]]
) -> Architecture | None:
    """The architecture without some fusion points; nodes left with one input fall away. None if nothing is left."""
    if not points:
        return None
    kept: list[Node] = []
    moved: dict[int, Point | NodeRef] = {}
    for index, node in enumerate(architecture.nodes):
        inputs = [s if isinstance(s, Point) else moved.get(s.node) for s in node.inputs]
        left = list(dict.fromkeys(s for s in inputs if s is not None and s not in points))
        if len(left) >= 2:
            moved[index] = NodeRef(len(kept))
            kept.append(Node(tuple(left), node.operator))
        elif left:
            moved[index] = left[0]
    output = moved.get(len(architecture.nodes) - 1)
    if output is None:
        return None
    return space.architecture(*reachable(kept, output), layers=layers)


def _public(row: dict[str, Any]) -> dict[str, Any]:
    point: Point = row["point"]
    return {"modality": point.modality, "level": point.level, "loss_increase": row["change"],
            "standard_error": row["error"], "ignored": row["ignored"]}  # fmt: skip
