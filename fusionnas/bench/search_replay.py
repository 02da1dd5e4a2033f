"""The gradient of a training step of one network, recorded and as it is before that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from fusionnas.bench.alternated import SECONDS, alternated
from fusionnas.bench.search_steps import Row, compared, warm
from fusionnas.feature import Feature
from fusionnas.network import build
from fusionnas.oracle.problems import problem
from fusionnas.oracle.table import load
from fusionnas.training.randomness import seeded
from fusionnas.training.recording import Outputs
from fusionnas.training.replay import Replay, gradients
from fusionnas.training.scoring import nll

WIDTHS = (16, 64, 256)


def replay(seed: int, *, widths: Sequence[int] = WIDTHS, seconds: float = SECONDS) -> list[Row]:
    """The best architecture of the oracle table ``quadrants``, in several widths, on batches of its data."""
    return [_replay(seed, width, seconds) for width in widths]


def _replay(seed: int, width: int, seconds: float) -> Row:
    given, _ = problem("quadrants", seed=seed, overrides=[f"fusion.width={width}"])
    with seeded(seed):
        network = build(given.space, load("quadrants").best, given.data.signature).train()
    batch = next(given.data.train.batches(given.space.file.training.batch_size, torch.Generator().manual_seed(seed)))
    parameters = list(network.parameters())

    def step(inputs: Mapping[str, Feature], target: Tensor) -> Outputs:
        return gradients(nll(network(inputs), target).mean(), parameters)

    ways: dict[str, Callable[[], Outputs]] = {
        "ours": partial(Replay(step), batch.inputs, batch.target), "other": partial(step, batch.inputs, batch.target)
    }  # fmt: skip
    warm(ways["ours"])
    each = alternated(ways, seconds=seconds)
    found = []
    for way in ways.values():
        with seeded(seed):
            found.append(way())
    apart = max(float((a - b).abs().max()) for a, b in zip(*found, strict=True) if a is not None and b is not None)
    setting = f"width {width}, batch {len(batch)}"
    return compared("gradient of one network, recorded", setting, each, f"gradients {apart:.0e}", "")
