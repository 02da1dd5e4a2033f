"""Search spaces that several tests use."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fusionnas.space import SearchSpace

BASE = """\
name: base
data: simulated_icu
task: {kind: binary, metric: roc_auc}
modalities:
  static: {kind: tabular, encoder: mlp, levels: 1}
  vitals: {kind: timeseries, encoder: [gru, tcn], levels: 2}
fusion:
  nodes: 2
  inputs: [2, 3]
  operators: [additive, gated, cross_attention]
search: {seeds: 1}
"""


@pytest.fixture
def base() -> str:
    """A small valid space file."""
    return BASE


@pytest.fixture
def space(base: str) -> SearchSpace:
    """The small valid space."""
    return SearchSpace.parse(base)


@pytest.fixture
def tiny() -> Callable[..., SearchSpace]:
    """Make a space of series with the given levels and numbers of encoders; other limits by keyword."""
    return tiny_space


def tiny_space(
    levels: list[int], encoders: list[int], *, nodes: int = 1, inputs: tuple[int, int] = (2, 2), operators: str = "mlp"
) -> SearchSpace:
    """One series per entry of ``levels``; ``encoders`` says among how many its layers are chosen."""
    from fusionnas.space.schema import SpaceFile

    names = ["gru", "tcn", "attention"]
    modalities = {
        f"m{i}": {"kind": "timeseries", "encoder": names[:count], "levels": depth}
        for i, (depth, count) in enumerate(zip(levels, encoders, strict=True))
    }
    file = {
        "name": "tiny",
        "task": {"kind": "binary"},
        "modalities": modalities,
        "fusion": {"nodes": nodes, "inputs": inputs, "operators": operators.split()},
    }
    return SearchSpace(SpaceFile.model_validate(file))
