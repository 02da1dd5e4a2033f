"""Objectives: what a search optimises besides, or instead of, the loss, and what a network may cost at most.

``search.objective: [average_precision, latency_ms, parameters]`` names one metric of prediction and any costs;
``search.constraints: {parameters: 50000}`` bounds costs. While candidates train, their loss on select stands for
the metric: it ranks the same networks with less noise. Of those that are retrained the metric itself counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionnas.architecture import Architecture
from fusionnas.errors import InputError
from fusionnas.registry import Registry

if TYPE_CHECKING:
    from fusionnas.search.method import Problem, Task

Cost = Callable[["Problem", Architecture], float]


@dataclass(frozen=True)
class Objective:
    """Something to optimise.

    Attributes:
        summary: what it is, one line.
        unit: of its values; empty: none.
        cost: the value of an architecture, lower is better; None: a metric of predictions (scikit-learn's name).
        higher_is_better: of a metric.
    """

    summary: str
    unit: str = ""
    cost: Cost | None = None
    higher_is_better: bool = False


objectives: Registry[Objective] = Registry("objective", "fusionnas.search.objectives")


def register_cost(name: str, *, summary: str, unit: str = "") -> Callable[[Cost], Cost]:
    """Decorator: make a function of problem and architecture known as an objective and as a constraint."""

    def add(function: Cost) -> Cost:
        objectives.register(name)(Objective(summary, unit, function))
        return function

    return add


class Judge:
    """What architectures cost, and which of them are allowed, by the space file; remembers what it computed.

    Attributes:
        costs: names of the costs that are optimised.
        metric: the metric that is optimised.
    """

    def __init__(self, task: Task) -> None:
        search = task.space.file.search
        self._problem, self._limits = task.problem, dict(search.constraints)
        named = [name for name in search.objective if objectives[name].cost is None]
        self.metric = named[0] if named else task.space.file.task.metric
        self.costs = tuple(name for name in search.objective if objectives[name].cost is not None)
        self._known: dict[tuple[str, Architecture], float] = {}

    def cost(self, name: str, architecture: Architecture) -> float:
        """One cost."""
        if (name, architecture) not in self._known:
            compute = objectives[name].cost
            assert compute is not None
            self._known[name, architecture] = float(compute(self._problem, architecture))
        return self._known[name, architecture]

    def values(self, architecture: Architecture, loss: float) -> tuple[float, ...]:
        """What is minimised: the loss, then the costs."""
        return loss, *(self.cost(name, architecture) for name in self.costs)

    def excess(self, architecture: Architecture) -> float:
        """By how much the constraints are missed: all that is above a limit, as a share of it; 0 = allowed."""
        over = (self.cost(name, architecture) / limit - 1 for name, limit in self._limits.items())
        return sum(max(share, 0.0) for share in over)

    def keeps(self, architecture: Architecture) -> bool:
        """Whether it keeps the constraints."""
        return self.excess(architecture) == 0

    def allowed(self, architectures: Iterable[Architecture]) -> list[Architecture]:
        """Those that keep the constraints.

        Raises:
            InputError: none does.
        """
        given = list(architectures)
        kept = [architecture for architecture in given if self.keeps(architecture)]
        if given and not kept:
            least = min(given, key=self.excess)
            problems = [
                f"search.constraints.{name}: at most {limit:g}, and {least}, which comes closest, has "
                f"{self.cost(name, least):g}; raise it, or lower fusion.width or modalities.*.levels"
                for name, limit in self._limits.items() if self.cost(name, least) > limit
            ]  # fmt: skip
            raise InputError("no candidate keeps the constraints", problems)
        return kept
