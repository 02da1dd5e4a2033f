"""The batches on which every form is compared with the network in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from fusionnas.feature import Feature, random_feature
from fusionnas.network import FusionNetwork

BATCHES = (1, 2, 33)
REPEATS = 15

Lengths = Mapping[str, int]
"""Tokens by modality, where they are not those of training."""


@dataclass(frozen=True)
class Case:
    """One batch: its name in ``export.json``, its tensors, what the network in memory gives, and how long it takes."""

    name: str
    tensors: list[Tensor]
    expected: Tensor
    eager_ms: float


def sample(
    network: FusionNetwork, size: int, generator: torch.Generator, lengths: Lengths | None = None
) -> dict[str, Feature]:
    """Random inputs of the network's sizes, some samples lacking each modality."""
    given = lengths or {}
    specs = {name: network.signature.inputs[name] for name in network.encoders}
    return {
        name: random_feature(replace(spec, tokens=given.get(name, spec.tokens)), size, generator)
        for name, spec in specs.items()
    }


def flat(inputs: Mapping[str, Feature]) -> list[Tensor]:
    """Values, mask and presence of every modality, one after the other."""
    return [tensor for feature in inputs.values() for tensor in feature]


@torch.no_grad()
def cases(network: FusionNetwork, *, dense: bool, lengths: Sequence[str] = ()) -> list[Case]:
    """Batches of 1, 2 and 33 samples; where lengths may vary, also of shorter and longer series.

    Args:
        network: in memory.
        dense: compare with everything computed, or with what the network does by itself.
        lengths: modalities whose length may vary.
    """
    generator = torch.Generator().manual_seed(0)
    run = network.dense if dense else network
    wanted: list[tuple[str, int, Lengths]] = [(str(size), size, {}) for size in BATCHES]
    wanted += [(f"33, {how}", 33, changed) for how, changed in other_lengths(network, lengths).items()]
    found = []
    for name, size, changed in wanted:
        inputs = sample(network.eval(), size, generator, changed)
        found.append(Case(name, flat(inputs), run(inputs), median_ms(partial(run, inputs))))
    return found


def other_lengths(network: FusionNetwork, lengths: Sequence[str]) -> dict[str, Lengths]:
    """Shorter and longer series than those of training, of the modalities named; none where none are."""
    tokens = {name: network.signature.inputs[name].tokens for name in lengths}
    shorter = {name: max(2, length // 2) for name, length in tokens.items()}
    return {"shorter": shorter, "longer": {name: n + 3 for name, n in tokens.items()}} if lengths else {}


def median_ms(run: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median milliseconds of a call, after one that does not count."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * sorted(times)[repeats // 2]


def worst(rows: Iterable[Mapping[str, float]]) -> float:
    """The largest difference of any batch."""
    return max(row["max_difference"] for row in rows)
