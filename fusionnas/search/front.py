"""Several objectives: which candidates go on, and what is told and recommended of those that were retrained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fusionnas.architecture import Architecture
from fusionnas.search.method import Task
from fusionnas.search.objective import Judge, objectives
from fusionnas.search.pareto import best, hypervolume, knee, thinned
from fusionnas.search.retrain import Retrained, held_out_part
from fusionnas.training.scoring import metric, probabilities

_BEYOND = 0.1  # of the range: how far behind the worst candidate the reference of the hypervolume lies


def proposed(
    judge: Judge, losses: Mapping[Architecture, float], count: int
) -> tuple[tuple[Architecture, ...], dict[str, Any]]:
    """(finalists, facts): the first ``count`` that are allowed; with several objectives their front, thinned.

    Args:
        judge: objectives and constraints.
        losses: of all candidates, best first.
        count: finalists at most.
    """
    kept = [architecture for architecture in losses if judge.keeps(architecture)] or list(losses)
    if not judge.costs:
        return tuple(kept[:count]), {}
    points = [judge.values(architecture, losses[architecture]) for architecture in kept]
    front = best(points)
    chosen = thinned([points[i] for i in front], count)
    rows = [
        {"id": kept[i].id, "architecture": str(kept[i]), "loss": points[i][0],
         **dict(zip(judge.costs, points[i][1:], strict=True))}
        for i in sorted(front, key=lambda i: points[i])
    ]  # fmt: skip
    return tuple(kept[front[i]] for i in chosen), {"front": rows}


class Front:
    """The front of networks that were trained end to end, by the metric on all that they held out, and costs.

    Args:
        task: objectives and constraints.
        trained: per architecture its trainings on all folds.

    Attributes:
        places: which of them are on the front, the best metric first.
        recommended: the place of the knee.
    """

    def __init__(self, task: Task, trained: Sequence[Sequence[Retrained]]) -> None:
        self._judge = judge = Judge(task)
        self._trained, self._better = trained, objectives[judge.metric].higher_is_better
        scores = [_score(task, folds, judge.metric) * (-1.0 if self._better else 1.0) for folds in trained]
        self._points = [judge.values(t[0].architecture, score) for t, score in zip(trained, scores, strict=True)]
        self.places = sorted(best(self._points), key=lambda i: self._points[i])
        self.recommended = self.places[knee([self._points[i] for i in self.places])]

    def facts(self, found: Architecture) -> dict[str, Any]:
        """For ``results.json``; ``found``: the architecture that was taken in the end."""
        columns = list(zip(*self._points, strict=True))
        ideal = [min(values) for values in columns]
        worst = [max(values) + _BEYOND * (max(values) - min(values)) for values in columns]
        volume = hypervolume([self._points[i] for i in self.places], ideal, worst)
        names = (self._judge.metric, *self._judge.costs)
        return {
            "objectives": list(names), "found": found.id, "hypervolume": volume, "candidates": len(self._points),
            "recommended": self._trained[self.recommended][0].architecture.id,
            "front": [self._row(names, i) for i in self.places],
        }  # fmt: skip

    def _row(self, names: Sequence[str], place: int) -> dict[str, Any]:
        architecture, (score, *costs) = self._trained[place][0].architecture, self._points[place]
        values = (-score if self._better else score, *costs)
        return {"id": architecture.id, "architecture": str(architecture), **dict(zip(names, values, strict=True)),
                "definition": architecture.to_json()}  # fmt: skip


def _score(task: Task, folds: Sequence[Retrained], name: str) -> float:
    logits, labels = [], []
    for one in folds:
        assert one.held_out is not None
        logits.append(one.held_out)
        labels.append(held_out_part(task, one).target)
    return metric(name, probabilities(torch.cat(logits)), torch.cat(labels).numpy())
