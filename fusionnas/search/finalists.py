"""From finalists to the winner: retrained end to end, chosen on select, each input ablated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fusionnas.architecture import Architecture
from fusionnas.errors import FusionNASError
from fusionnas.search.ablation import ablate, without_ignored
from fusionnas.search.choice import one_standard_error, within_doubt
from fusionnas.search.front import Front
from fusionnas.search.method import Found, Task
from fusionnas.search.objective import Judge
from fusionnas.search.references import competes, named, sources
from fusionnas.search.retrain import Job, Retrained, attempt, held_out_losses

RIVALS = 4  # candidates with the lowest loss on select that go on to the other folds


@dataclass(frozen=True)
class Winner:
    """The chosen architecture and what was measured on the way.

    Attributes:
        trained: its trainings, one per fold, that of select first.
        epochs: per architecture that was trained on all folds, the mean number of epochs that they chose.
        table: per candidate: id, modalities, mean loss, on how many folds.
        inputs: per input of the winner before removal: loss without it, standard error, ignored or not.
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
    simplest that is no worse, on the other folds too, and the lowest loss on all folds wins.

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
    chosen = best_of(task, trained)
    inputs = ablate(task, trained[chosen])
    simpler = without_ignored(task.space, trained[chosen][0].architecture, inputs, found.layers)
    chosen = _as_good(task, trained, chosen, [architecture for architecture in simpler if judge.keeps(architecture)])
    rest = [[t] for t in first if t.architecture not in [f[0].architecture for f in trained]]
    epochs = {t[0].architecture: round(sum(one.epoch for one in t) / len(t)) for t in trained}
    front = Front(task, trained).facts(trained[chosen][0].architecture) if judge.costs else None
    rows = [_row(task, t) for t in [*trained, *rest]]
    return Winner(trained[chosen], epochs, rows, [i.facts() for i in inputs], front)


def _as_good(task: Task, trained: list[list[Retrained]], chosen: int, simpler: Sequence[Architecture]) -> int:
    """Place of the first of ``simpler`` that is not worse beyond doubt, else ``chosen``; ``trained`` gets the new ones.

    An ignored input is gone unless the network without it turns out worse.
    """
    for architecture in simpler:
        if architecture not in [t[0].architecture for t in trained]:
            trained += on_all_folds(task, [architecture])
        for place, other in enumerate(trained):
            change = held_out_losses(task, other) - held_out_losses(task, trained[chosen])
            if other[0].architecture == architecture and within_doubt(change):
                return place
    return chosen


def _shortlist(task: Task, first: list[Retrained]) -> list[int]:
    if Judge(task).costs:
        return Front(task, [[one] for one in first]).places
    losses = torch.stack([held_out_losses(task, [t]) for t in first])
    order = torch.argsort(losses.mean(1), stable=True).tolist()[:RIVALS]
    modalities = [len(sources(task.space, one.architecture)) for one in first]
    return list(dict.fromkeys([*order, one_standard_error(losses, modalities)]))


def on_all_folds(task: Task, candidates: Sequence[Architecture]) -> list[list[Retrained]]:
    """The trainings of each candidate, one per fold, that of select first; who cannot be trained on all is left out."""
    folds = task.space.file.search.folds
    jobs = [Job(architecture, 0, fold=fold) for architecture in candidates for fold in range(folds)]
    task.progress.stage("compare on all folds", len(jobs))
    trained = attempt(task, jobs, needed=False)
    groups = [jobs[i : i + folds] for i in range(0, len(jobs), folds)]
    return [[trained[job] for job in group] for group in groups if all(job in trained for job in group)]


def best_of(task: Task, trained: list[list[Retrained]]) -> int:
    """Place of the lowest loss on all that was held out; with several objectives, of what the front recommends."""
    if Judge(task).costs:
        return Front(task, trained).recommended
    return int(torch.stack([held_out_losses(task, t).mean() for t in trained]).argmin())


def _row(task: Task, trained: list[Retrained]) -> dict[str, Any]:
    architecture = trained[0].architecture
    return {
        "id": architecture.id,
        "architecture": str(architecture),
        "modalities": list(sources(task.space, architecture)),
        "loss": float(held_out_losses(task, trained).mean()),
        "folds": len(trained),
    }
