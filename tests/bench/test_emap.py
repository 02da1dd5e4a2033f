"""The benchmark of EMAP at toy size: the projection of an additive network is the network, and a loop agrees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusionnas.bench import emap as bench
from fusionnas.data.base import Part
from fusionnas.feature import InputSpec, Signature, random_feature
from fusionnas.network import build
from fusionnas.search.references import fixed
from fusionnas.space import SearchSpace


@pytest.mark.parametrize("operator", bench.OPERATORS)
def test_a_row_compares_all_at_once_with_a_loop(monkeypatch: pytest.MonkeyPatch, operator: str) -> None:
    monkeypatch.setattr(bench, "SAMPLES", 24)
    monkeypatch.setattr(bench, "LOOPED", 5)
    space = SearchSpace.load("ehr")
    specs = {name: InputSpec(6, tokens=4 if name in ("vitals", "labs") else 1) for name in space.file.modalities}
    generator = torch.Generator().manual_seed(0)
    inputs = {name: random_feature(spec, 24, generator) for name, spec in specs.items()}
    names = np.array([str(i) for i in range(24)])
    torch.manual_seed(0)
    network = build(space, fixed(space, operator, bench._layers(space)), Signature(specs, 1)).eval()
    row = bench._row(space, operator, network, Part(inputs, torch.arange(24) % 2, names, names), 0)
    assert row["modalities"] == 3 and row["evaluations"] == 3 * 24 * 24 + 10 * 24
    assert float(row["largest_difference_to_loop"]) < 1e-5
    assert (float(row["largest_gap_of_a_logit"]) < 1e-5) == (operator == "additive")
