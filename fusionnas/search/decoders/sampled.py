"""Sampled: what was learned only says what to try; the heads then compete stand-alone."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusionnas.architecture import Architecture, Node, NodeRef, Source
from fusionnas.search.decoder import Decoded, Learned, register_decoder
from fusionnas.search.method import Facts
from fusionnas.search.pool import Pool
from fusionnas.search.ranking import rank_heads
from fusionnas.search.references import Layers, named, single_points
from fusionnas.supernet import Mixing, discretize
from fusionnas.supernet.mixing import reachable
from fusionnas.training.randomness import derive

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

FACTS = Facts(
    summary="draws search.heads heads by the learned weights; they train alone, stacked, with halving, as in default",
    source='rungs: Jamieson & Talwalkar, 2016, arXiv:1502.07943; sampling from alphas: "GDAS", 2019, arXiv:1910.04465',
    departs=(
        "the learned distribution proposes and never ranks; the references and the argmax decode compete too; encoder "
        "layers are those of the largest weight"
    ),
)
_TRIES = 20  # draws per head that is asked for


@register_decoder("sampled", FACTS, share=0.5)
def sampled(learned: Learned) -> Decoded:
    """As many finalists as ``search.finalists``."""
    task, space = learned.task, learned.task.space
    best = discretize(space, learned.mixing)
    layers = {
        name: tuple(modality.encoder[int(row.argmax())] for row in learned.mixing.layers[name])
        for name, modality in space.file.modalities.items()
    }

    def contestants() -> Pool:
        references = tuple(dict.fromkeys([best, *named(space, layers).values(), *single_points(space, layers)]))
        rng = random.Random(derive(task.seed, "sampled"))
        found: dict[Architecture, None] = {}
        for _ in range(space.file.search.heads * _TRIES):
            if len(found) >= space.file.search.heads:
                break
            if (drawn := draw(space, learned.mixing, layers, rng)) not in references:
                found.setdefault(drawn)
        return Pool(references, tuple(found), space, layers)

    ranking = rank_heads(task, learned.training.supernet, layers, contestants, learned.budget)
    finalists = tuple(Architecture.from_json(data) for data in ranking["finalists"])
    return Decoded(finalists, {key: value for key, value in ranking.items() if key != "finalists"})


def draw(space: SearchSpace, mixing: Mixing, layers: Layers, rng: random.Random) -> Architecture:
    """One architecture: operators, distinct inputs slot by slot, and the output, each drawn by its weight."""
    fusion, nodes = space.file.fusion, list[Node]()
    ends: list[Source] = [*space.points(), *map(NodeRef, range(fusion.nodes))]
    output = ends[_pick(mixing.output, rng)]
    inner = torch.tensor([not rule.decides for rule in space.rules.values()])
    for index in range(fusion.nodes):
        allowed = torch.ones_like(inner) if output == NodeRef(index) else inner
        operator = fusion.operators[_pick((mixing.operators[index] + 1e-9) * allowed, rng)]
        rule, sources, inputs = space.rules[operator], space.sources(index), list[Source]()
        for slot in range(rule.most):
            free = torch.ones(len(sources) + 1)
            free[[sources.index(source) for source in inputs]] = 0.0
            free[-1] = slot >= rule.fewest
            choice = _pick((mixing.slots[index][slot] + 1e-9) * free, rng)
            if choice < len(sources):
                inputs.append(sources[choice])
        nodes.append(Node(tuple(inputs), operator))
    return space.architecture(*reachable(nodes, output), layers=layers)


def _pick(weights: Tensor, rng: random.Random) -> int:
    return rng.choices(range(len(weights)), weights.tolist())[0]
