"""ONNX Runtime gives the network's logits for every bundled space, to 1e-4."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from fusionnas.data.preprocessing import view_of
from fusionnas.export.cases import cases, worst
from fusionnas.export.form import forms
from fusionnas.export.fresh import check_here
from fusionnas.export.write import TOLERANCE
from fusionnas.feature import InputSpec, Signature
from fusionnas.network import build
from fusionnas.space import SearchSpace, bundled_spaces

FORMS = {"plain": InputSpec(6), "summary": InputSpec(24), "bins": InputSpec(8, tokens=6),
         "observations": InputSpec(9, tokens=7), "tokens": InputSpec(0, tokens=5, vocabulary=20),
         "patches": InputSpec(4, tokens=9, grid=(3, 3)), "frames": InputSpec(5, tokens=8)}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", bundled_spaces())
def test_parity_in_onnx_runtime(name: str, tmp_path: Path):
    space = SearchSpace.load(name)
    inputs = {modality: FORMS[view_of(m, modality)] for modality, m in space.file.modalities.items()}
    signature = Signature(inputs, 1 if space.file.task.kind == "binary" else 4)
    torch.manual_seed(0)
    network = build(space, space.sample(random.Random(0), nodes=min(2, space.file.fusion.nodes)), signature).eval()
    facts = forms["onnx"].write(tmp_path, network)
    found = cases(network, dense=True, lengths=facts["lengths"])
    assert worst(check_here(forms["onnx"], tmp_path / "model.onnx", found).values()) <= TOLERANCE
