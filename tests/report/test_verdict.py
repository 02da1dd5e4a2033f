"""The two sentences at the top of a report say what the numbers say."""

from __future__ import annotations

from typing import Any

import pytest

from fusionnas.report.verdict import question, verdict

SOURCES = ("acc", "gyro", "mag")


Measured = tuple[float, float, float]
CLEAR = (0.1, 0.05, 0.2)


def results(read: list[str], baselines: dict[str, Measured], known: str | None = None) -> dict[str, Any]:
    entries = {name: {"difference": d, "interval": [low, high]} for name, (d, low, high) in baselines.items()}
    return {"modalities": read, "metric": "accuracy", "test": {"accuracy": 0.9}, "known_as": known,
            "baselines": entries}  # fmt: skip


def test_the_question_names_modalities_and_target() -> None:
    assert question("x", SOURCES, "activity") == (
        "Where, when and how should acc, gyro and mag be fused to predict activity?")  # fmt: skip
    assert question("x", ("acc",), "activity") == "How should acc be encoded to predict activity?"


def test_one_modality_that_beats_all_together() -> None:
    first, second = verdict(
        results(["acc"], {"only gyro": (0.3, 0.2, 0.4), "late fusion": (0.05, 0.02, 0.08),
                          "fixed mlp": (0.04, 0.01, 0.07)}, "only acc"), SOURCES)  # fmt: skip
    assert first == (
        "Dropping modalities is better: on test acc alone is better than all 3 modalities together (fixed mlp, the "
        "best of such), by +0.0400 accuracy, 95 % interval +0.0100 to +0.0700.")  # fmt: skip
    assert second == "Take acc and leave the fusion out: it scores 0.9000 accuracy on test."


def test_fusion_that_pays_and_nothing_simpler_does() -> None:
    first, second = verdict(
        results([*SOURCES], {"only acc": CLEAR, "only mag": (0.2, 0.1, 0.3), "late fusion": CLEAR,
                             "early fusion": (0.03, 0.01, 0.05)}), SOURCES)  # fmt: skip
    assert first.startswith("Fusing acc, gyro and mag pays: on test it beats the best single modality, acc, by +0.10")
    assert second.startswith("A simpler fusion would not do: it beats early fusion, the better of early and late, by +")


@pytest.mark.parametrize(
    ("interval", "starts"),
    [
        ((0.01, 0.05), "Dropping modalities is better: on test acc and gyro are better than all 3 modalities together"),
        ((-0.01, 0.05), "Dropping mag costs nothing that the test could show: acc and gyro and all 3 modalities"),
        ((-0.05, -0.01), "Dropping mag costs something: on test all 3 modalities together (late fusion, the best of "
                         "such) is better than acc and gyro, by +0.0300 accuracy, 95 % interval +0.0100 to +0.0500."),
    ],
)  # fmt: skip
def test_what_dropping_costs(interval: tuple[float, float], starts: str) -> None:
    middle = sum(interval) / 2
    entries = {"only acc": CLEAR, "late fusion": (middle, *interval)}
    assert verdict(results(["acc", "gyro"], entries), SOURCES)[1].startswith(starts)


@pytest.mark.parametrize(
    ("single", "starts"),
    [
        ((-0.1, -0.2, -0.05), "Fusion does not pay: on test acc alone is better than fusing acc, gyro and mag, by +0."),
        ((0.01, -0.02, 0.05), "Whether fusion pays is not clear: on test, fusing acc, gyro and mag and acc alone"),
    ],
)
def test_fusion_that_does_not_pay(single: tuple[float, float, float], starts: str) -> None:
    first, second = verdict(results([*SOURCES], {"only acc": single}, "late fusion"), SOURCES)
    assert first.startswith(starts)
    assert second == "The found network is plain late fusion; nothing richer was better on held-out samples."


def test_a_simpler_fusion_that_is_as_good_or_better() -> None:
    even = verdict(results([*SOURCES], {"only acc": CLEAR, "late fusion": (0.0, -0.1, 0.1)}), SOURCES)[1]
    assert even.startswith("A simpler fusion may do as well: on test it cannot be told apart from late fusion (+0.0000")
    better = verdict(results([*SOURCES], {"only acc": CLEAR, "late fusion": (-0.1, -0.2, -0.1)}), SOURCES)[1]
    assert better.startswith("A simpler fusion is better: late fusion beats it by +0.1000")


def test_one_modality_leaves_nothing_to_fuse() -> None:
    first, second = verdict(results(["acc"], {}, "only acc"), ("acc",))
    assert first == "There is one modality, acc: nothing to fuse."
    assert second == "The found network scores 0.9000 accuracy on test."
