"""What sampled methods share: ask for candidates, train them, tell their losses, as long as the budget lasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from fusionnas.architecture import Architecture
from fusionnas.search.evaluations import Evaluations
from fusionnas.search.method import Found

_PATIENCE = 5  # askings in a row that bring nothing new: the space is all but known


class Proposer(Protocol):
    """Proposes candidates; a pure function of what it was told, so that a resumed run asks the same again."""

    def ask(self, count: int) -> list[Architecture]:
        """About so many candidates, known ones among them where nothing else comes up."""

    def tell(self, losses: Mapping[Architecture, float]) -> None:
        """Losses of what was asked for, infinite where a training failed."""


def sampled_search(evaluations: Evaluations, proposer: Proposer, *, batch: int) -> Found:
    """Ask for ``batch`` candidates, train, tell, and so on."""
    idle = 0
    while not evaluations.over and idle < _PATIENCE:
        room = batch if evaluations.budget.limited else evaluations.most - len(evaluations.scores)
        asked = list(dict.fromkeys(proposer.ask(min(batch, room))))
        new = [architecture for architecture in asked if architecture not in evaluations.scores]
        evaluations.train(new)
        proposer.tell({a: evaluations.scores[a].loss for a in asked if a in evaluations.scores})
        idle = 0 if new else idle + 1
    return evaluations.found()
