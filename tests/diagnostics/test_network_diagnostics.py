"""What the diagnostics say about a run whose label is a product of ``left`` and ``right``; ``noise`` is noise."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionnas.diagnostics.diagnose import diagnose
from fusionnas.diagnostics.measures.paired import sign_flip, wilson
from fusionnas.diagnostics.measures.ranks import kendall_interval


@pytest.fixture(scope="module")
def found(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    copy = Path(shutil.copytree(toy_run, tmp_path_factory.mktemp("copy") / "run"))
    return diagnose(copy, only=["emap", "interaction", "probes", "pid", "robustness", "ogr", "importance", "use"])


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
    assert pairs["left x right"]["smallest_q"] < 1e-4 and pairs["left x right"]["largest_gain"] > 0.1
    assert min(pairs["left x noise"]["smallest_q"], pairs["right x noise"]["smallest_q"]) > 0.01
    assert "left and right" in found["interaction"]["answer"][0]
    # Which direction of a modality carries its part is a matter of how the network's encoders turn it.
    strongest = found["interaction"]["answer"][1]
    assert re.match(r"The strongest, left direction \d with right direction \d for 1", strongest)
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


def test_what_both_tell_only_together_is_synergy(found: dict[str, dict[str, Any]]) -> None:
    pairs = {(row["first"], row["second"]): row for row in found["pid"]["tables"]["pairs"]}
    planted = pairs["left", "right"]
    assert planted["synergy"] > 2 * planted["synergy_by_chance"] and planted["synergy_is_beyond_chance"]
    assert planted["synergy"] > 3 * max(planted["redundancy"], planted["unique_second"])
    assert found["pid"]["answer"][0].startswith("left and right tell ")
    assert "most of it only in both together" in found["pid"]["answer"][0]


def test_robustness_curves_start_clean_and_end_at_chance(found: dict[str, dict[str, Any]]) -> None:
    robustness = found["robustness"]
    rows = [row for row in robustness["tables"]["curves"] if row["modality"] == "all modalities"]
    missing = {row["level"]: row["found"] for row in rows if row["damage"] == "missing"}
    assert list(missing) == [round(0.1 * k, 1) for k in range(11)]
    assert missing[0.0] == pytest.approx(found["probes"]["facts"]["score"])
    assert missing[1.0] == pytest.approx(0.5)
    assert missing[0.0] - missing[0.5] > 0.05
    damaged = {(row["damage"], row["modality"]) for row in robustness["tables"]["areas"]}
    assert damaged == {(d, m) for d in ("noise", "missing") for m in ("left", "right", "all modalities")}
    assert robustness["facts"]["unread"] == ["noise"]


def test_noise_alone_generalises_nothing_and_weights_sum_to_one(found: dict[str, dict[str, Any]]) -> None:
    rows = {row["network"]: row for row in found["ogr"]["tables"]["whole training"]}
    assert rows["together"]["generalisation"] > 5 * abs(rows["noise"]["generalisation"])
    assert sum(row["weight"] for row in rows.values()) == pytest.approx(1.0, abs=1e-6)
    assert rows["together"]["weight"] == max(row["weight"] for row in rows.values())
    assert {chart["title"] for chart in found["ogr"]["charts"]} == {
        "Held-out loss", "Overfitting: held-out loss minus training loss"}  # fmt: skip


def test_every_choice_has_its_runner_up(found: dict[str, dict[str, Any]], toy_run: Path) -> None:
    from fusionnas.show import read_architecture

    importance, architecture = found["importance"], read_architecture(toy_run)
    named = {row["choice"] for row in importance["tables"]["runners_up"]}
    for index, node in enumerate(architecture.nodes):
        assert f"operator of #{index}: {node.operator}" in named
        assert {f"input of #{index}: {source}" for source in node.inputs if hasattr(source, "level")} <= named
    for row in importance["tables"]["runners_up"]:
        rivals = [other for other in importance["tables"]["alternatives"] if other["choice"] == row["choice"]]
        assert row["loss"] == min(other["loss"] for other in rivals)
    low, high = importance["facts"]["tau_interval"]
    assert -1 <= low <= importance["facts"]["tau"] <= high <= 1 and importance["facts"]["tau_candidates"] > 5


def test_use_says_what_counts_for_whom(found: dict[str, dict[str, Any]], toy_run: Path) -> None:
    from fusionnas.show import read_architecture

    use = found["use"]
    assert {row["modality"] for row in use["tables"]["modalities"]} == {"left", "right"}
    assert list(use["facts"]["groups"]) == ["all", "class 0", "class 1"]
    architecture = read_architecture(toy_run)
    for index in range(len(architecture.nodes)):
        shares = [row["all"] for row in use["tables"]["inputs of nodes"] if row["input"].endswith(f" in #{index}")]
        assert sum(shares) == pytest.approx(1.0)
    assert use["tables"]["gates"] == []


def test_ranks_that_agree_have_tau_one() -> None:
    generator = np.random.default_rng(0)
    assert kendall_interval([(k, 2.0 * k) for k in range(8)], generator=generator) == pytest.approx((1.0, 1.0, 1.0))
    assert kendall_interval([(1.0, 2.0), (2.0, 1.0)], generator=generator) == (None, None, None)
    tau, low, high = kendall_interval([(k, (7 * k) % 11) for k in range(11)], generator=generator)
    assert tau is not None and low is not None and high is not None and low < tau < high


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
