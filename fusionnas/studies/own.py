"""A study on an executor of this machine: what is tried next does not depend on workers, or on who was faster."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from fusionnas.errors import RunError
from fusionnas.execution import Call, Ended, Executor
from fusionnas.execution.steady import steady_state
from fusionnas.studies.population import Population
from fusionnas.studies.ranges import Values
from fusionnas.studies.record import Record
from fusionnas.studies.rungs import Halving
from fusionnas.studies.sampler import Proposals


class OwnStudy:
    """Proposes and observes searches in the order of their numbers; the sampler learns from the first rung alone.

    Args:
        record: of the study.
        proposals: what trials try.
        executor: where they run.
    """

    def __init__(self, record: Record, proposals: Proposals, executor: Executor) -> None:
        self._record, self._proposals, self._executor = record, proposals, executor
        trials, rungs = record.facts["trials"], len(record.shares)
        self._population: Population | None = None
        if record.population:
            self._population = Population(trials, rungs, seed=record.run.settings["seed"])
        self._order = self._population or Halving(trials, rungs)
        self._values: dict[tuple[int, int], Values] = {}
        self._places: list[tuple[int, int]] = []
        self._observed = 0

    @property
    def workers(self) -> int:
        """Searches at the same time."""
        return self._executor.workers

    @property
    def running(self) -> Sequence[str]:
        """Those that workers are at."""
        return self._executor.running

    def carry_out(self) -> None:
        """All searches that are not known yet."""
        run, lag = self._record.run, self._record.facts["lag"]
        ends = steady_state(self._executor, self, lag=lag, recall=self._recall, halt=run.stopping, backups=False)
        with closing(ends):
            for place, ended in ends:
                number, rung = self._places[place]
                self._record.keep(number, rung, self._values[number, rung], ended)

    def propose(self, place: int) -> Call | None:
        """The search of this place in the order."""
        found = self._order.next(last=self._observed == place)
        if found is None:
            return None
        self._places.append(found)
        parent = self._begin(*found)
        return self._record.call(*found, self._values[found], parent)

    def _begin(self, number: int, rung: int) -> int | None:
        """Choose the values of a search; in a population, returns the member that it goes on from."""
        if rung == 0:
            self._values[number, 0] = self._proposals.ask()
            return None
        if self._population is None:
            self._values[number, rung] = self._values[number, 0]
            return None
        parent = self._population.parent(number, rung)
        values = self._values[parent, rung - 1]
        if parent != number:
            values = self._population.explored(values, self._proposals.ranges, number, rung)
        self._values[number, rung] = values
        return parent

    def observe(self, place: int, ended: Ended) -> None:
        """Its loss."""
        self._observed += 1
        number, rung = self._places[place]
        loss = (ended.value or {}).get("loss")
        self._order.observe(number, rung, loss)
        if rung == 0:
            self._proposals.tell(number, loss)

    def _recall(self, call: Call) -> Any:
        number, rung = self._places[-1]
        facts = self._record.known(number, rung)
        if facts is not None and facts["values"] != self._values[number, rung]:
            was, now = facts["values"], self._values[number, rung]
            raise RunError(
                f"{self._record.run.path}: {call.name} was {was}, now Optuna proposes {now}",
                ["resume with the version of Optuna that environment.json names"],
            )
        return facts
