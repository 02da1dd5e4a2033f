"""BOHB: Hyperband whose candidates a Parzen estimator proposes."""

from __future__ import annotations

from pydantic import Field

from fusionnas.architecture import Architecture
from fusionnas.search.evaluations import Evaluations, Trained
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.methods import halving
from fusionnas.search.methods.hyperband import sweeps
from fusionnas.search.methods.tpe import Parzen
from fusionnas.space.schema import Section
from fusionnas.training.randomness import derive

FACTS = MethodFacts(
    summary="Hyperband, its candidates proposed by TPE from the longest trainings of which there are enough",
    source='Falkner, Klein, Hutter, "BOHB: Robust and Efficient Hyperparameter Optimization at Scale", 2018, '
    "arXiv:1807.01774",
    departs="the densities are those of Optuna's TPE, one dimension at a time; otherwise as hyperband",
)


_TRIES = 10  # times that it is asked for what is missing, as it proposes known candidates too


class Options(halving.Rungs, Trained, Section):
    """Of the estimator."""

    enough: int = Field(20, ge=2, description="Trainings of one length that the densities need.", examples=[100])


@register_method("bohb", FACTS, Options)
def bohb(task: Task) -> Found:
    """Hyperband with a model."""
    options = task.options(Options)
    evaluations = Evaluations(task, options)
    parzen = Parzen(evaluations, options.enough, derive(task.seed, "bohb"))

    def propose(count: int) -> list[Architecture]:
        parzen.believe(_longest(evaluations, options.enough))
        found: dict[Architecture, None] = {}
        for _ in range(_TRIES):
            asked = parzen.ask(count - len(found))
            found |= dict.fromkeys(a for a in asked if a not in evaluations.scores)
            if len(found) == count:
                break
        return list(found)

    return sweeps(evaluations, options, propose)


def _longest(evaluations: Evaluations, enough: int) -> dict[Architecture, float]:
    """Losses after the longest training of which there are enough; of all that are longer too."""
    lengths = sorted({score.epochs for score in evaluations.scores.values()}, reverse=True)
    for epochs in lengths:
        found = {a: score.loss for a, score in evaluations.scores.items() if score.epochs >= epochs}
        if len(found) >= enough:
            return found
    return {}
