"""Which pair of modalities interacts in a network: the part of its output that no sum of the two can give.

For modalities A and B and two samples i, j the second difference f(Ai,Bi) - f(Aj,Bi) - f(Ai,Bj) + f(Aj,Bj), all else
kept at i, is zero wherever f is additive in A and B. Its mean square over random pairs, over four times the variance
of f, is the pair's share (Friedman & Popescu, "Predictive learning via rule ensembles", Annals of Applied Statistics
2008, section 8.1; departs from it: sampled second differences instead of centred partial dependences, which needs
no grid and holds for dependent inputs as well).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusionnas.feature import Feature
from fusionnas.network import FusionNetwork, predict
from fusionnas.search.references import sources

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace

_ROUNDS = 8


@torch.no_grad()
def interactions(
    space: SearchSpace, network: FusionNetwork, inputs: Mapping[str, Feature], *, generator: torch.Generator
) -> dict[str, float]:
    """Share per pair of modalities that the network reads, ``"vitals x labs"``, largest first.

    Args:
        space: says which modalities are views of one source.
        network: trained network.
        inputs: samples that it was not trained on.
        generator: of the random pairs.
    """
    read = sources(space, network.architecture)
    base = predict(network, inputs)
    scale = 4 * base.var(0).mean().clamp_min(1e-12)
    total: dict[str, float] = {}
    for _ in range(_ROUNDS):
        order = torch.randperm(len(base), generator=generator)
        single = {source: _exchanged(space, network, inputs, (source,), order) for source in read}
        for a, b in itertools.combinations(read, 2):
            both = _exchanged(space, network, inputs, (a, b), order)
            second = base - single[a] - single[b] + both
            key = f"{a} x {b}"
            total[key] = total.get(key, 0.0) + float(second.square().mean() / scale) / _ROUNDS
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def _exchanged(
    space: SearchSpace, network: FusionNetwork, inputs: Mapping[str, Feature], sources: tuple[str, ...], order: Tensor
) -> Tensor:
    moved = {name: f.rows(order) if space.source_of(name) in sources else f for name, f in inputs.items()}
    return predict(network, moved)
