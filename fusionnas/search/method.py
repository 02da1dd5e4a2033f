"""What a search method is: space and data in, ranked finalists out.

A method is one file in ``fusionnas/search/methods`` with one decorated function. It sees train, alpha and select;
it never sees test. Every costly step is a unit of the run, so a killed search goes on where it was.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from torch import Tensor

from fusionnas.architecture import Architecture
from fusionnas.data.base import SearchData
from fusionnas.execution import Executor, InlineExecutor, Limits, Shared
from fusionnas.registry import Registry
from fusionnas.run.progress import Progress
from fusionnas.run.unit import Checkpoint
from fusionnas.space.schema import Section

if TYPE_CHECKING:
    from fusionnas.cost import Costs
    from fusionnas.run import Run
    from fusionnas.space import SearchSpace

S = TypeVar("S", bound=Section)


@dataclass(frozen=True)
class Problem:
    """What is to be solved; plain data that worker processes receive once.

    Attributes:
        space: what may be chosen.
        data: train, alpha and select.
        seed: of everything random.
        pretrained: weights that trainings start from, by modality and by "operator NAME".
        costs: what the parts of the space cost on this machine; None: not measured.
    """

    space: SearchSpace
    data: SearchData
    seed: int
    pretrained: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    costs: Costs | None = None


@dataclass(frozen=True)
class Task:
    """What a method receives: the problem, and where to work on it.

    Attributes:
        problem: see :class:`Problem`.
        run: journal; ``run.unit`` remembers finished steps.
        progress: where to tell how far the search is.
        executor: where trainings run; no result depends on it.
        clock: by which a budget of seconds goes; seconds that only grow.
    """

    problem: Problem
    run: Run
    progress: Progress
    executor: Executor = field(default_factory=InlineExecutor)
    clock: Callable[[], float] = time.monotonic

    @functools.cached_property
    def shared(self) -> Shared[Problem]:
        """The problem as an argument of calls: it travels to each worker once."""
        return Shared(self.problem)

    def checkpoint(self, name: str) -> Checkpoint:
        """Where a unit that a worker computes saves its state."""
        return self.run.checkpoint(name) if self._reached else Checkpoint(None, math.inf)

    @functools.cached_property
    def _reached(self) -> bool:
        reached = self.executor.reaches(self.run.path)
        if not reached:
            self.progress.message(
                f"not every node of the cluster sees {self.run.path.resolve()}: trainings that are interrupted start "
                "over; a folder on storage that all nodes share avoids that (--run-dir)"
            )
        return reached

    @property
    def limits(self) -> Limits:
        """What one training may use."""
        allowed = self.space.file.execution
        memory = None if allowed.memory is None else int(allowed.memory * 1e9)
        return Limits(allowed.seconds, memory)

    @property
    def space(self) -> SearchSpace:
        """What may be chosen."""
        return self.problem.space

    @property
    def data(self) -> SearchData:
        """Train, alpha and select."""
        return self.problem.data

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.problem.seed

    @property
    def pretrained(self) -> Mapping[str, Mapping[str, Tensor]]:
        """Weights of encoders that are not trained jointly."""
        return self.problem.pretrained

    def options(self, kind: type[S]) -> S:
        """What the space file says under ``search.options``, as the method declared it."""
        return kind.model_validate(dict(self.space.file.search.options), strict=True)


@dataclass(frozen=True)
class Found:
    """What a method returns.

    Attributes:
        finalists: architectures to retrain end to end, best first.
        layers: per modality, the encoder chosen for each layer; baselines use the same.
        facts: what the method measured, plain data for ``results.json``.
    """

    finalists: tuple[Architecture, ...]
    layers: dict[str, tuple[str, ...]]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Facts:
    """What ``fusionnas list`` says: one line, source, departures from it."""

    summary: str
    source: str
    departs: str


@dataclass(frozen=True)
class MethodFacts(Facts):
    """Of a method; ``relaxed``: it learns a mixture of choices, which ``search.decoder`` makes discrete."""

    relaxed: bool = False


class NoOptions(Section):
    """Options of a method that has none."""


class Method(Protocol):
    """A registered method; ``options`` says which keys ``search.options`` may have."""

    facts: MethodFacts
    options: type[Section]

    def __call__(self, task: Task) -> Found:
        """Search; a function of the task's problem alone."""


methods: Registry[Method] = Registry("search method", "fusionnas.search.methods")


def register_method(
    name: str, facts: MethodFacts, options: type[Section] = NoOptions
) -> Callable[[Callable[[Task], Found]], Method]:
    """Decorator: make a function known as ``name`` for ``search.method``.

    Args:
        name: in space files.
        facts: what it is and where it comes from.
        options: keys of ``search.options`` with types, defaults, bounds, descriptions, and in ``examples`` another
            value than the default, with which tests make sure that the option does something.
    """

    def add(function: Callable[[Task], Found]) -> Method:
        method: Any = function
        method.facts, method.options = facts, options
        return methods.register(name)(method)

    return add
