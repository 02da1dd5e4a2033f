from __future__ import annotations

import shutil
from pathlib import Path

import torch

from fusionnas.data.load import load_dataset
from fusionnas.export.native import write_native
from fusionnas.network import build
from fusionnas.space import SearchSpace

SPACE = """
name: small
data: simulated_icu
task: {kind: binary, target: in_hospital_death}
modalities: {static: {kind: tabular, encoder: mlp, levels: 1}}
fusion: {nodes: 1, width: 4}
"""


def test_every_form_says_how_far_it_is_from_the_original(fusionnas, tmp_path: Path):
    space = SearchSpace.parse(SPACE)
    data = load_dataset(space)
    torch.manual_seed(0)
    network = build(space, space.architecture([], output=space.points()[1]), data.search.signature).eval()
    write_native(tmp_path / "net", network, space.to_yaml(), data.preprocessing)
    result = fusionnas("export", str(tmp_path / "net"), "--format", "torch", "--output", str(tmp_path / "out"))
    assert result.exit_code == 0
    native, program = result.stdout.splitlines()[1:]
    assert "weights.safetensors" in native and "largest difference to the original 0.0e+00; one sample" in native
    assert "model.pt2" in program and "largest difference to the original" in program
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"README.md", "architecture.json", "export.json", "model.pt2", "preprocessing.json", "space.yaml"} <= names
    shutil.rmtree(tmp_path / "net")  # the export stands alone
    told = fusionnas("predict", str(tmp_path / "out" / "model.pt2"), "--output", str(tmp_path / "p.csv"))
    assert told.exit_code == 0 and "predictions in" in told.stdout
