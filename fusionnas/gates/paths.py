"""All paths of a gated network: the decisions of every path, its probability under relaxed gates, its logits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from torch import Tensor

from fusionnas.architecture import Point
from fusionnas.feature import Feature
from fusionnas.gates.gate import Draw
from fusionnas.gates.network import Decisions, GatedNetwork

Choice = Mapping[str, bool | None]
"""By gate: goes on, does not, or is never asked."""


@dataclass(frozen=True)
class Path:
    """One path, for every sample of a batch.

    Attributes:
        weight: (B,) probability that the gates take it; exactly 0 or 1 under hard decisions, with gradients.
        logits: (B, C) on it.
        decisions: (B,) by gate.
    """

    weight: Tensor
    logits: Tensor
    decisions: Decisions


def choices(network: GatedNetwork) -> Iterator[Choice]:
    """Every path: how many stages are run, and which gated nodes."""
    gates = [f"stage_{stage}" for stage in range(1, len(network.stages))]
    nodes = [f"node_{node}" for node in network.otherwise]
    for last in range(len(gates) + 1):
        stages = {gate: True if i < last else False if i == last else None for i, gate in enumerate(gates)}
        for bits in product((False, True), repeat=len(nodes)):
            yield {**stages, **dict(zip(nodes, bits, strict=True))}


def paths(
    network: GatedNetwork, features: Mapping[Point, Feature], inputs: Mapping[str, Feature], draw: Draw
) -> Iterator[Path]:
    """Every path on ready features; the weights of all paths sum to one."""
    for choice in choices(network):
        weights: list[Tensor] = []
        found = network.decided(features, inputs, partial(_take, choice, weights, draw))
        yield Path(torch.stack(weights).prod(0), found.logits, found.decisions)


def _take(choice: Choice, weights: list[Tensor], draw: Draw, name: str, logit: Tensor, chance: float) -> Tensor:
    wanted = choice[name]
    if wanted is not None:
        decision = draw(name, logit, chance)
        weights.append(decision if wanted else 1 - decision)
    return torch.full_like(logit, float(bool(wanted)))
