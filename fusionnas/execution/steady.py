"""Proposals that learn from results while workers are never idle, and yet do not depend on who was faster.

Proposal ``n`` is made when the results of 0 ... n - lag are known, and from these alone, whatever else may have ended.
So a proposal is a function of its number and of the results that it was allowed to see: the same with one worker and
with a thousand, killed and resumed or not. The price: with fewer results in sight than there are, and a worker that is
``lag`` results ahead of the slowest one waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, Protocol

from fusionnas.execution.base import Call, Ended, Executor


class Proposer(Protocol):
    """Proposes tasks and hears of their ends; both in the order of their numbers."""

    def propose(self, number: int) -> Call | None:
        """The task of this number, from what was observed so far; None: none before more is observed.

        Once all is observed, None ends it.
        """

    def observe(self, number: int, ended: Ended) -> None:
        """The end of the task of this number; called for every number, each once, in order."""


def steady_state(
    executor: Executor,
    proposer: Proposer,
    *,
    lag: int,
    recall: Callable[[Call], Any] = lambda call: None,
    halt: Callable[[], bool] = lambda: False,
    backups: bool = True,
) -> Generator[tuple[int, Ended], None, None]:
    """Run what ``proposer`` proposes; yields (number, end) as tasks end, in whatever order they do.

    Args:
        executor: where tasks run.
        proposer: what is run.
        lag: proposal n knows the results of 0 ... n - lag. Part of the problem, as a seed is: results depend on it.
            About four times as many as workers keeps them busy.
        recall: the value of a task that was carried out before, from a journal; None where it was not. What is
            recalled is not yielded.
        halt: once it is true, nothing more is proposed, and nothing observed.
        backups: a task that others have overtaken may run twice; False for tasks that keep a state on disk.
    """
    assert lag >= 1, lag
    under_way = _UnderWay(executor, lag, backups)
    ended: dict[int, Ended] = {}  # ends that cannot be observed yet: at most lag
    proposed = observed = 0
    waiting = over = False  # waiting: for one more observation
    try:
        while True:
            while not halt() and under_way.room:
                if waiting or proposed - observed >= lag:
                    if observed not in ended:
                        break
                    proposer.observe(observed, ended.pop(observed))
                    observed, waiting = observed + 1, False
                    continue
                call = proposer.propose(proposed)
                if call is None:
                    waiting, over = observed < proposed, observed == proposed
                    if over:
                        break
                    continue
                if (value := recall(call)) is not None:
                    ended[proposed] = Ended(call, value)
                else:
                    under_way.begin(proposed, call)
                proposed += 1
            if not under_way.numbers and (over or halt()):
                break
            found = under_way.wait(proposed)
            if found is not None:
                ended[found[0]] = found[1]
                yield found
        while observed in ended and not halt():
            proposer.observe(observed, ended.pop(observed))
            observed += 1
    finally:
        executor.drop()


class _UnderWay:
    """Tasks that were handed out.

    One that two rounds of all workers have overtaken, or nearly all that may, is handed out once more: it may sit on a
    slow machine. Whichever ends first counts; both have the same value (backup tasks: Dean & Ghemawat, "MapReduce",
    OSDI 2004, section 3.6).
    """

    def __init__(self, executor: Executor, lag: int, backups: bool) -> None:
        self.numbers: dict[int, Call] = {}  # those without an end
        self._executor, self._lag, self._backups = executor, lag, backups
        self._names: dict[str, int] = {}  # of all that the executor has not ended
        self._looked_at = 0  # numbers below it have ended or were handed out twice

    @property
    def room(self) -> bool:
        return len(self._names) <= self._executor.workers

    def begin(self, number: int, call: Call) -> None:
        self.numbers[number] = call
        self._submit(number, call)

    def wait(self, proposed: int) -> tuple[int, Ended] | None:
        """The next end; None where its task had ended before."""
        late = proposed - min(2 * self._executor.workers, 3 * self._lag // 4)
        while self._backups and self._looked_at < late:
            if (call := self.numbers.get(self._looked_at)) is not None:
                self._submit(self._looked_at, replace(call, name=f"{call.name} once more"))
            self._looked_at += 1
        end = self._executor.wait()
        number = self._names.pop(end.call.name)
        first = self.numbers.pop(number, None)
        return None if first is None else (number, Ended(first, end.value, end.failure))

    def _submit(self, number: int, call: Call) -> None:
        self._names[call.name] = number
        self._executor.submit(call)
