"""Alignment of a run that reads words and a series: maps by word, and shares that add up."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import fusionnas
from fusionnas.diagnostics.diagnose import diagnose

pytestmark = pytest.mark.slow

SOURCE = '''
import numpy as np
from fusionnas.data.base import Cohort, register_dataset
from fusionnas.data.records import Records, Series, Tokens


@register_dataset("told_and_seen")
def told_and_seen(space, *, path):
    """A series goes up or down, a word says one or the other; yes if both say up."""
    rng = np.random.default_rng(0)
    up, said = rng.integers(0, 2, (2, 240))
    values = np.where(up, 1, -1)[:, None, None] * np.linspace(-1, 1, 4)[None, :, None]
    values = values + 0.1 * rng.normal(size=(240, 4, 1))
    words = [["goes", ("down", "up")[s]] for s in said]
    records = Records({"text": Tokens.of(words), "series": Series.from_dense(values)}, (up & said).astype(int),
                      np.array([f"s{i}" for i in range(240)]), None, ("no", "yes"))
    return Cohort(records, None, {}, {"source": "told_and_seen"}, {})
'''
SPACE = """
name: toy
plugins: [told.py]
data: told_and_seen
task: {kind: binary}
modalities:
  text: {kind: text, encoder: attention, levels: 0}
  series: {kind: timeseries, encoder: attention, levels: 0, steps: 4}
fusion: {nodes: 1, width: 8, operators: [joint_transformer]}
training: {epochs: 12, learning_rate: 0.01, batch_size: 16, refit: false, blending: {kind: offline, epochs: 2}}
pretrain: {objective: vilt, epochs: 1}
search:
  {architectures: [a.json], epochs: 1, heads: 2, rungs: [1], rescore: 1, finalists: 1, folds: 1, seeds: 1, random: 0}
"""
INPUTS = [{"modality": "text", "level": 0}, {"modality": "series", "level": 0}]
BOTH = {"nodes": [{"inputs": INPUTS, "operator": "joint_transformer"}], "output": {"node": 0}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("told")
    (folder / "told.py").write_text(SOURCE)
    (folder / "space.yaml").write_text(SPACE)
    architecture = {"schema": 1, "modalities": {name: {"layers": []} for name in ("text", "series")}, **BOTH}
    (folder / "a.json").write_text(json.dumps(architecture))
    return fusionnas.search(folder / "space.yaml", run_dir=folder / "run").path


def test_every_word_is_dealt_to_steps(run: Path) -> None:
    found = diagnose(run, only=["alignment"])["alignment"]
    facts = found["facts"]["text to series"]
    assert 0 < facts["cost_within"] < 2 and 0 < facts["cost_across"] < 2
    verdict = "aligned" if facts["cost_within"] < 0.95 * facts["cost_across"] else "not aligned"
    assert f"text and series are {verdict}: tokens of one sample are" in found["answer"][0]
    (chart,) = found["charts"]
    assert set(chart["row_names"]) == {"goes", "up", "down"} and chart["column_names"] == ["0", "1", "2", "3"]
    assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in chart["values"])
    rows = list(csv.DictReader((run / "diagnostics" / found["files"]["text to series"]).read_text().splitlines()))
    assert [row["text"] for row in rows] == chart["row_names"]


def test_the_run_was_pretrained_and_blended_as_its_space_says(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    units = {line["unit"]: line["facts"] for line in lines if "unit" in line}
    assert len(units["pretraining"]["history"]) == 1
    weights = [facts["blending"][0] for facts in units.values() if "blending" in facts]
    assert weights and all(set(row) == {"epoch", "text", "series", "fused"} for row in weights)
    assert all(sum(row.values()) == pytest.approx(1) for row in weights)
