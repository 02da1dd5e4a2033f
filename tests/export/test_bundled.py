"""ONNX Runtime gives the network's logits for every bundled space, to 1e-4."""

from __future__ import annotations

import pytest

from fusionnas.bench.onnx_runtime import compared
from fusionnas.export.write import TOLERANCE
from fusionnas.space import bundled_spaces


@pytest.mark.slow
@pytest.mark.parametrize("name", bundled_spaces())
def test_parity_in_onnx_runtime(name: str):
    row = compared(name, 0)
    assert row["space"] == name and float(row["largest_difference"]) <= TOLERANCE
    assert {f"{what}_{size}" for what in ("eager_ms", "onnx_ms", "times_faster") for size in (1, 2, 33)} <= set(row)
