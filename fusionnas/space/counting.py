"""How many fusion graphs there are, and one of them at random, both without listing them.

A graph over f fusion points has nodes 0..n-1. Node i reads k distinct sources among the f points and the i nodes
before it, and every node but the last is read by a later one. Graphs are built node by node; all that matters for
what may follow is u, the number of nodes that nobody has read yet. A node that reads r of those u and k - r other
sources can be chosen in ``C(u, r) C(f + i - u, k - r)`` ways, times k! where the order of inputs counts, and leaves
u - r + 1 unread. After the last node u must be 1.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import comb, factorial

from fusionnas.architecture import Node, NodeRef, Point, Source


@dataclass(frozen=True)
class OperatorRule:
    """What a space allows one operator.

    Attributes:
        name: of the operator.
        ordered: whether the order of inputs counts.
        fewest: inputs at least.
        most: inputs at most.
        decides: whether only the last node may be it.
    """

    name: str
    ordered: bool
    fewest: int
    most: int
    decides: bool = False

    def inputs(self, available: int) -> range:
        """Numbers of inputs that the operator may take where so many sources are there."""
        return range(self.fewest, min(self.most, available) + 1)

    def orders(self, inputs: int) -> int:
        """In how many orders one set of inputs may be written."""
        return factorial(inputs) if self.ordered else 1


@dataclass(frozen=True)
class _Step:
    """Kinds of a next node: this operator on ``inputs`` sources, ``unread`` of them read for the first time."""

    rule: OperatorRule
    inputs: int
    unread: int
    ways: int


class Graphs:
    """All fusion graphs over ``points`` fusion points.

    Args:
        rules: allowed operators.
        points: number f of fusion points.
    """

    def __init__(self, rules: tuple[OperatorRule, ...], points: int) -> None:
        self.rules, self.points = rules, points
        self._count = lru_cache(maxsize=None)(self._count_from)
        self._weight = lru_cache(maxsize=None)(self._weight_from)

    def count(self, nodes: int) -> int:
        """Number of graphs with exactly so many nodes; without nodes, one per point that the output may read."""
        return self._count(nodes, 0, 0) if nodes else self.points

    def draw(self, rng: random.Random, nodes: int, points: tuple[Point, ...]) -> tuple[Node, ...]:
        """A random graph with ``nodes`` >= 1 nodes, of which there must be one.

        Distribution: each node draws its operator, its number of inputs and its inputs uniformly, one after the
        other, given that every node ends up read. It is drawn without rejection.
        """
        drawn: list[Node] = []
        unread: list[Source] = []
        for index in range(nodes):
            sources: list[Source] = [*points, *map(NodeRef, range(index))]
            left = len(unread) + 1
            # Dead ends are left out, not just given weight 0, which rounding might still choose.
            last = index == nodes - 1
            steps = self._steps(index, len(unread), last)
            steps = [s for s in steps if self._weight(nodes, index + 1, left - s.unread)]
            weights = [self._share(s, index, last) * self._weight(nodes, index + 1, left - s.unread) for s in steps]
            step = rng.choices(steps, weights)[0]
            read = rng.sample([s for s in sources if s not in unread], step.inputs - step.unread)
            inputs = read + rng.sample(unread, step.unread)
            rng.shuffle(inputs)
            drawn.append(Node(tuple(inputs), step.rule.name))
            unread = [source for source in unread if source not in inputs] + [NodeRef(index)]
        return tuple(drawn)

    def _allowed(self, last: bool) -> list[OperatorRule]:
        return [rule for rule in self.rules if last or not rule.decides]

    def _steps(self, index: int, unread: int, last: bool) -> list[_Step]:
        available, found = self.points + index, []
        for rule in self._allowed(last):
            for inputs in rule.inputs(available):
                for first in range(min(unread, inputs) + 1):
                    ways = comb(unread, first) * comb(available - unread, inputs - first)
                    if ways:
                        found.append(_Step(rule, inputs, first, ways))
        return found

    def _share(self, step: _Step, index: int, last: bool) -> float:
        """Probability of this kind of node where nothing is asked of the nodes after it."""
        available = self.points + index
        rules = sum(1 for rule in self._allowed(last) if rule.inputs(available))
        return step.ways / (rules * len(step.rule.inputs(available)) * comb(available, step.inputs))

    def _count_from(self, nodes: int, index: int, unread: int) -> int:
        if index == nodes:
            return int(unread == 1)
        return sum(
            s.ways * s.rule.orders(s.inputs) * self._count(nodes, index + 1, unread - s.unread + 1)
            for s in self._steps(index, unread, index == nodes - 1)
        )

    def _weight_from(self, nodes: int, index: int, unread: int) -> float:
        if index == nodes:
            return float(unread == 1)
        return sum(
            self._share(s, index, index == nodes - 1) * self._weight(nodes, index + 1, unread - s.unread + 1)
            for s in self._steps(index, unread, index == nodes - 1)
        )


def space_size(rules: tuple[OperatorRule, ...], nodes: int, modalities: Mapping[str, tuple[int, int]]) -> int:
    """Number of architectures with at most ``nodes`` nodes; ``modalities``: (levels, number of encoders) of each.

    The deepest level in use says how many layers are written, and each is chosen among c encoders. Graphs whose
    deepest level is exactly d are those over the levels 0..d without those over 0..d-1, so that a modality's
    generating function is ``w(x) = 1 + sum_d c^d (x^(d+1) - x^d)``, x^f standing for f points within reach. The
    product over modalities, with x^f replaced by the number of graphs over f points, is the size.
    """
    product = [1]
    for levels, encoders in modalities.values():
        factor = [1] + [0] * (levels + 1)
        for depth in range(levels + 1):
            factor[depth + 1] += encoders**depth
            factor[depth] -= encoders**depth
        product = _times(product, factor)
    totals = (sum(map(Graphs(rules, points).count, range(nodes + 1))) for points in range(len(product)))
    return sum(weight * total for weight, total in zip(product, totals, strict=True) if weight)


def _times(left: list[int], right: list[int]) -> list[int]:
    product = [0] * (len(left) + len(right) - 1)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            product[i + j] += a * b
    return product
