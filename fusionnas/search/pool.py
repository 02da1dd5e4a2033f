"""The pool of discrete heads that compete: references, and the whole space or a seeded sample of it.

A sample is drawn by operator sequence, at least sixteen heads to each sequence, since heads of one sequence train
stacked: a thousand heads cost little more than their number of sequences.
"""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

from fusionnas.architecture import Architecture, Node
from fusionnas.operators import operators
from fusionnas.search.references import Layers, named, single_points
from fusionnas.supernet.mixing import reachable

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

HEADS_PER_SEQUENCE = 16
_TRIES = 50


def pool(space: SearchSpace, layers: Layers, *, heads: int, rng: random.Random) -> tuple[list[Architecture], int]:
    """(references and sampled architectures, each once; how many of the first are references).

    All share the encoder ``layers``. With as many heads asked as the space has, the pool is the whole space.
    """
    references = list(dict.fromkeys([*named(space, layers).values(), *single_points(space, layers)]))
    found = dict.fromkeys(references)
    if space.size() <= heads * _TRIES:
        every = [a for a in space.enumerate() if all(chosen == layers[m][: len(chosen)] for m, chosen in a.layers)]
        if len(every) <= heads:
            return list(dict.fromkeys([*references, *every])), len(references)
    sequences = _sequences(space, heads, rng)
    # Heads with attention cost about ten vector heads each, even on coarse tokens: a quarter as many are drawn.
    turns = [s for turn in range(4) for s in sequences if turn == 0 or not any(operators[name].sequence for name in s)]
    for sequence in itertools.islice(itertools.cycle(turns), heads * _TRIES):
        if len(found) >= heads + len(references):
            break
        found.setdefault(_draw(space, sequence, layers, rng))
    return list(found), len(references)


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
