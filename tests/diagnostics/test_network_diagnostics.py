"""What the diagnostics say about a run whose label is a product of ``left`` and ``right``; ``noise`` is noise."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionnas.diagnostics.diagnose import diagnose
from fusionnas.diagnostics.measures.paired import sign_flip, wilson


@pytest.fixture(scope="module")
def found(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    copy = Path(shutil.copytree(toy_run, tmp_path_factory.mktemp("copy") / "run"))
    return diagnose(copy, only=["emap", "interaction", "probes"])


def test_emap_sees_that_the_network_needs_the_interaction(found: dict[str, dict[str, Any]]) -> None:
    emap = found["emap"]
    assert emap["facts"]["interactive"] and emap["facts"]["gap"] > 0.1
    assert emap["answer"][0].startswith("Interactions between modalities are worth something to the best fused network")
    rungs = {row["rung"]: row["roc_auc"] for row in emap["tables"]["ladder"]}
    assert list(rungs) == ["best fused", "its additive projection", "best additive", "best single modality"]
    assert rungs["best fused"] > 0.8 > rungs["its additive projection"]


def test_regression_finds_the_pair_and_no_other(found: dict[str, dict[str, Any]]) -> None:
    pairs = {row["pair"]: row for row in found["interaction"]["tables"]["pairs"]}
    assert set(pairs) == {"left x right", "left x noise", "right x noise"}
    assert pairs["left x right"]["found"] > 0 and pairs["left x right"]["largest_gain"] > 0.05
    assert pairs["left x noise"]["found"] == pairs["right x noise"]["found"] == 0
    assert "between left and right." in found["interaction"]["answer"][0]
    steps = [row["model"] for row in found["interaction"]["tables"]["strongest ladder"]]
    assert steps == ["y ~ a"] * 2 + ["y ~ a + b"] * 3 + ["y ~ a + b + a·b"] * 4


def test_probes_tell_what_each_modality_is_worth(found: dict[str, dict[str, Any]]) -> None:
    probes = found["probes"]
    rows = {row["modality"]: row for row in probes["tables"]["modalities"]}
    score = probes["facts"]["score"]
    assert probes["facts"]["chance"] == 0.5
    for name in ("left", "right"):
        assert rows[name]["alone"] < score - 0.1 and rows[name]["shuffled"] < score - 0.1
    assert rows["noise"]["alone"] < 0.7
    assert {row["modalities"] for row in probes["tables"]["subsets"]} == {
        "left", "right", "noise", "left + right", "left + noise", "right + noise", "left + right + noise"}  # fmt: skip
    assert {row["name"] for row in probes["tables"]["classes"]} == {"0", "1"}
    assert "groups" not in probes["tables"]


def test_sign_flips_keep_groups_together() -> None:
    rng, size = np.random.default_rng(0), 60
    differences = rng.normal(0.5, 1, size)
    alone = np.arange(size).astype(str)
    assert sign_flip(differences, alone, generator=np.random.default_rng(1)) < 0.01
    assert sign_flip(differences, np.repeat("one", size), generator=np.random.default_rng(1)) == 1.0
    assert sign_flip(np.zeros(size), alone, generator=np.random.default_rng(1)) == 1.0


def test_wilson_interval() -> None:
    np.testing.assert_allclose(wilson(8, 10), (0.4902, 0.9433), atol=1e-4)
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-12)
