"""The pool of discrete heads that compete: references, and the whole space or a seeded sample of it.

A sample is drawn by operator sequence, at least sixteen heads to each sequence, since heads of one sequence train
stacked: a thousand heads cost little more than their number of sequences.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionnas.architecture import Architecture, Node
from fusionnas.operators import operators
from fusionnas.search.heads import Candidate
from fusionnas.search.references import Layers, named, single_points
from fusionnas.supernet.mixing import reachable

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

HEADS_PER_SEQUENCE = 16
_TRIES = 50


@dataclass(frozen=True)
class Pool(Collection[Architecture]):
    """Architectures that compete, each once, references first.

    Attributes:
        references: always among those that are scored again.
        rest: the others; None: the whole space, listed anew whenever it is asked for, so that it takes no memory.
        space, layers: what ``rest`` is of.
        allowed: which of them all may compete (``search.constraints``); None: all.
    """

    references: tuple[Architecture, ...]
    rest: tuple[Architecture, ...] | None
    space: SearchSpace
    layers: Layers
    allowed: Callable[[Architecture], bool] | None = None

    def __iter__(self) -> Iterator[Architecture]:
        return self._all() if self.allowed is None else filter(self.allowed, self._all())

    def _all(self) -> Iterator[Architecture]:
        yield from self.references
        known = set(self.references)
        others = self.space.enumerate(self.layers) if self.rest is None else self.rest
        yield from (architecture for architecture in others if architecture not in known)

    def __len__(self) -> int:
        return self._most if self.allowed is None else self._counted

    @property
    def _most(self) -> int:
        if self.rest is not None:
            return len(self.references) + len(self.rest)
        return self.space.graphs() + sum(not self.space.contains(reference) for reference in self.references)

    @functools.cached_property
    def _counted(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, architecture: object) -> bool:
        return architecture in set(self)


@dataclass(frozen=True)
class Candidates(Collection[Candidate]):
    """The heads of a pool with the seed of their initial weights, made as they are asked for."""

    pool: Pool
    seed: int

    def __iter__(self) -> Iterator[Candidate]:
        return (Candidate(architecture, self.seed) for architecture in self.pool)

    def __len__(self) -> int:
        return len(self.pool)

    def __contains__(self, candidate: object) -> bool:
        return isinstance(candidate, Candidate) and candidate.seed == self.seed and candidate.architecture in self.pool


def pool(space: SearchSpace, layers: Layers, *, heads: int | None, rng: random.Random) -> Pool:
    """References and ``heads`` sampled architectures; None, or as many as the space has: the whole space.

    All share the encoder ``layers``.
    """
    references = tuple(dict.fromkeys([*named(space, layers).values(), *single_points(space, layers)]))
    if heads is None or space.graphs() <= heads:
        return Pool(references, None, space, layers)
    sequences = _sequences(space, heads, rng)
    # Heads with attention cost about ten vector heads each, even on coarse tokens: a quarter as many are drawn.
    turns = [s for turn in range(4) for s in sequences if turn == 0 or not any(operators[name].sequence for name in s)]
    found: dict[Architecture, None] = {}
    for sequence in itertools.islice(itertools.cycle(turns), heads * _TRIES):
        if len(found) >= heads:
            break
        drawn = _draw(space, sequence, layers, rng)
        if drawn not in references:
            found.setdefault(drawn)
    return Pool(references, tuple(found), space, layers)


def _sequences(space: SearchSpace, heads: int, rng: random.Random) -> list[tuple[str, ...]]:
    """Operator sequences of every node count, as many as the number of heads allows; shorter ones first."""
    fusion = space.file.fusion
    inner = [name for name in fusion.operators if not operators[name].decides]
    room = max(len(fusion.operators), heads // HEADS_PER_SEQUENCE)
    chosen: list[tuple[str, ...]] = []
    for count in range(1, fusion.nodes + 1):
        total = len(inner) ** (count - 1) * len(fusion.operators)
        share = max(1, (room - len(chosen)) // (fusion.nodes - count + 1))
        if total <= share:
            chosen += itertools.product(*[inner] * (count - 1), fusion.operators)
        else:
            drawn = {(*rng.choices(inner, k=count - 1), *rng.choices(fusion.operators)) for _ in range(share)}
            chosen += sorted(drawn)
    return chosen


def _draw(space: SearchSpace, sequence: tuple[str, ...], layers: Layers, rng: random.Random) -> Architecture:
    """A random architecture with this operator sequence; with another where its operators hardly ever fit the graph."""
    for _ in range(_TRIES):
        drawn = space.sample(rng, nodes=len(sequence))
        nodes = [Node(node.inputs, name) for node, name in zip(drawn.nodes, sequence, strict=True)]
        rules = [space.rules[name] for name in sequence]
        if all(rule.fewest <= len(n.inputs) <= rule.most for rule, n in zip(rules, nodes, strict=True)):
            return space.architecture(*reachable(nodes, drawn.output), layers=layers)
    return space.architecture(drawn.nodes, drawn.output, layers)
