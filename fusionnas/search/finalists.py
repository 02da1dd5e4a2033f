"""From finalists to the winner: retrained end to end, chosen on select, each input ablated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusionnas.architecture import Architecture, Node, NodeRef, Point
from fusionnas.errors import FusionNASError
from fusionnas.operators import operators
from fusionnas.search.choice import no_worse, one_standard_error
from fusionnas.search.front import Front
from fusionnas.search.method import Found, Task
from fusionnas.search.objective import Judge
from fusionnas.search.references import competes, named, sources
from fusionnas.search.retrain import Job, Retrained, attempt, held_out_losses, held_out_part
from fusionnas.supernet.mixing import reachable
from fusionnas.training.randomness import derive
from fusionnas.training.scoring import nll

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

RIVALS = 4  # candidates with the lowest loss on select that go on to the other folds


@dataclass(frozen=True)
class Winner:
    """The chosen architecture and what was measured on the way.

    Attributes:
        trained: its trainings, one per fold, that of select first.
        epochs: per architecture that was trained on all folds, the mean number of epochs that they chose.
        table: per candidate: id, modalities, mean loss, on how many folds.
        inputs: per input of the winner before removal: loss without it, standard error, kept or removed.
        front: with several objectives, what no other candidate beats, and the recommendation.
    """

    trained: list[Retrained]
    epochs: dict[Architecture, int]
    table: list[dict[str, Any]]
    inputs: list[dict[str, Any]]
    front: dict[str, Any] | None = None

    @property
    def architecture(self) -> Architecture:
        """The chosen architecture."""
        return self.trained[0].architecture


def choose(task: Task, found: Found) -> Winner:
    """Choose among the method's finalists and, as rivals, the references that are in the space or one modality alone.

    Inputs that the choice ignores are dropped.
    A candidate that cannot be trained is left out. The others train with select held out; the best of them, and the
    simplest that is no worse, on the other folds too.

    What breaks ``search.constraints`` does not compete; with several objectives the knee of the front is chosen.

    Raises:
        InputError: no candidate keeps the constraints.
        FusionNASError: no candidate can be trained.
    """
    judge = Judge(task)
    rivals = [*found.finalists, *named(task.space, found.layers).values()]
    candidates = judge.allowed([a for a in dict.fromkeys(rivals) if competes(task.space, a)])
    task.progress.stage("retrain finalists", len(candidates))
    done = attempt(task, [Job(architecture, 0) for architecture in candidates])
    candidates = [job.architecture for job in done]
    first = list(done.values())
    trained = on_all_folds(task, [candidates[i] for i in _shortlist(task, first)])
    if not trained:
        raise FusionNASError("no candidate can be trained on all folds; the journal says why")
    best = [folds[0].architecture for folds in trained]
    chosen = best_of(task, trained)
    inputs = _ablate(task, trained[chosen])
    simpler = without(task.space, best[chosen], [i["point"] for i in inputs if i["ignored"]], found.layers)
    if simpler is not None and simpler not in best:
        more = on_all_folds(task, [simpler])
        trained += more
        # An ignored input is gone unless the network without it turns out worse.
        if more and no_worse(held_out_losses(task, trained[-1]) - held_out_losses(task, trained[chosen])):
            chosen = len(trained) - 1
    rest = [[t] for t in first if t.architecture not in [f[0].architecture for f in trained]]
    epochs = {t[0].architecture: round(sum(one.epoch for one in t) / len(t)) for t in trained}
    front = Front(task, trained).facts(trained[chosen][0].architecture) if judge.costs else None
    rows = [_row(task, t) for t in [*trained, *rest]]
    return Winner(trained[chosen], epochs, rows, [_public(i) for i in inputs], front)


def _shortlist(task: Task, first: list[Retrained]) -> list[int]:
    if Judge(task).costs:
        return Front(task, [[one] for one in first]).places
    losses = torch.stack([held_out_losses(task, [t]) for t in first])
    order = torch.argsort(losses.mean(1), stable=True).tolist()[:RIVALS]
    return list(dict.fromkeys([*order, one_standard_error(losses, _modalities(task, first))]))


def on_all_folds(task: Task, candidates: Sequence[Architecture]) -> list[list[Retrained]]:
    """The trainings of each candidate, one per fold, that of select first; who cannot be trained on all is left out."""
    folds = task.space.file.search.folds
    jobs = [Job(architecture, 0, fold=fold) for architecture in candidates for fold in range(folds)]
    task.progress.stage("compare on all folds", len(jobs))
    trained = attempt(task, jobs, needed=False)
    groups = [jobs[i : i + folds] for i in range(0, len(jobs), folds)]
    return [[trained[job] for job in group] for group in groups if all(job in trained for job in group)]


def best_of(task: Task, trained: list[list[Retrained]]) -> int:
    """Place of the simplest within one standard error; with several objectives, of what the front recommends."""
    if Judge(task).costs:
        return Front(task, trained).recommended
    losses = torch.stack([held_out_losses(task, t) for t in trained])
    return one_standard_error(losses, _modalities(task, [t[0] for t in trained]))


def _modalities(task: Task, trained: list[Retrained]) -> list[int]:
    return [len(sources(task.space, t.architecture)) for t in trained]


def _row(task: Task, trained: list[Retrained]) -> dict[str, Any]:
    architecture = trained[0].architecture
    return {
        "id": architecture.id,
        "architecture": str(architecture),
        "modalities": list(sources(task.space, architecture)),
        "loss": float(held_out_losses(task, trained).mean()),
        "folds": len(trained),
    }


@torch.no_grad()
def _ablate(task: Task, trained: list[Retrained]) -> list[dict[str, Any]]:
    """Each input exchanged across held-out samples: how much worse the network gets. Ignored = not beyond doubt."""
    points = list(trained[0].architecture.points())
    if len(points) == 1:
        return []
    rows = []
    for point in points:
        change = torch.cat([_losses_without(task, t, point) for t in trained]) - held_out_losses(task, trained)
        mean, error = float(change.mean()), float(change.std()) / len(change) ** 0.5
        rows.append({"point": point, "change": mean, "error": error, "ignored": no_worse(change)})
    return rows


def _losses_without(task: Task, trained: Retrained, point: Point) -> Tensor:
    part = held_out_part(task, trained)
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(derive(task.seed, "ablate")))
    network = trained.network(task.problem)
    features = network.encode(part.inputs)
    logits = network.head({p: f.rows(order) if p == point else f for p, f in features.items()})
    for name, path in network.wide.items():
        logits = logits + path(part.inputs[name].rows(order) if name == point.modality else part.inputs[name])
    return nll(logits, part.target)


def without(
    space: SearchSpace, architecture: Architecture, points: list[Point], layers: dict[str, tuple[str, ...]]
) -> Architecture | None:
    """The architecture without some fusion points; nodes left with one input fall away.

    None if nothing is left, or a node has fewer inputs left than its operator needs.
    """
    if not points:
        return None
    kept: list[Node] = []
    moved: dict[int, Point | NodeRef] = {}
    for index, node in enumerate(architecture.nodes):
        inputs = [s if isinstance(s, Point) else moved.get(s.node) for s in node.inputs]
        left = list(dict.fromkeys(s for s in inputs if s is not None and s not in points))
        if 2 <= len(left) < operators[node.operator].inputs_range[0]:
            return None
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
