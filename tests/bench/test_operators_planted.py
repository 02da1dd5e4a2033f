"""Planted truths are what they say; the page and the table of the benchmark agree with its claim."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from fusionnas.bench import operators_page, operators_planted
from fusionnas.bench.operators_page import TABLE, which_operator_page
from fusionnas.bench.operators_planted import NEAR, PANEL, SEEDS, one
from fusionnas.bench.truths import FLIPPED, STEPS, TRUTHS, WIDTH, draw_rotations, sample
from fusionnas.operators import operators
from fusionnas.run.progress import QuietProgress

DOCS = Path(__file__).parents[2] / "docs"
published = pytest.mark.skipif(not TABLE.exists(), reason="write it: fusionnas bench operators_planted")


def drawn(name: str, count: int = 2000):
    rng = np.random.default_rng(0)
    return sample(TRUTHS[name], count, draw_rotations(rng), rng)


@pytest.mark.parametrize("name", TRUTHS)
def test_a_truth_is_balanced_and_its_best_score_is_what_is_not_flipped(name: str) -> None:
    data = drawn(name)
    assert all(feature.values.shape[0::2] == (2000, WIDTH) for feature in data.features)
    assert 0.3 < float(data.target.mean()) < 0.7
    assert data.best == pytest.approx(1 - FLIPPED, abs=0.02)
    again = drawn(name)
    assert torch.equal(data.features[0].values, again.features[0].values) and torch.equal(data.target, again.target)


@pytest.mark.parametrize("name", TRUTHS)
def test_own_and_wrong_operators_are_in_the_panel_and_differ(name: str) -> None:
    truth = TRUTHS[name]
    assert set(truth.own) | set(truth.wrong) <= set(PANEL) <= set(operators)
    assert not set(truth.own) & set(truth.wrong)


def test_a_wrong_operator_meets_no_single_modality_that_gives_the_label_away() -> None:
    """No latent of either modality alone says more than chance where the truth is a pure interaction."""
    for name in ("multiplicative", "aligned", "unaligned"):
        data = drawn(name, 8000)
        for feature in data.features:
            mean = feature.values.sum(1) / feature.mask.sum(1, keepdim=True)
            correlation = torch.corrcoef(torch.cat((mean, data.target.unsqueeze(1)), 1).T)[-1, :-1]
            assert correlation.abs().max() < (0.5 if name == "unaligned" else 0.06)


def test_sequences_that_do_not_correspond_have_lengths_of_their_own() -> None:
    first, second = drawn("unaligned").features
    assert first.mask.shape[1] == STEPS != second.mask.shape[1]
    assert set(first.mask.sum(1).tolist()) == set(range(2, STEPS + 1))


def test_a_row_tells_operators_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators_planted, "SIZES", (2000, 500, 1000))
    monkeypatch.setattr(operators_planted, "EPOCHS", 8)
    own, wrong = (one("multiplicative", name, 0) for name in ("multiplicative", "additive"))
    assert (own["role"], wrong["role"]) == ("own", "wrong")
    assert float(own["accuracy"]) > 0.85 and float(wrong["accuracy"]) < 0.6
    assert float(own["shortfall"]) == pytest.approx(float(own["best_possible"]) - float(own["accuracy"]), abs=1e-4)


def test_the_benchmark_writes_a_row_per_truth_operator_and_seed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"SIZES": (64, 32, 32), "EPOCHS": 1, "SEEDS": 2, "PANEL": ("additive", "mag")}.items():
        monkeypatch.setattr(operators_planted, name, value)
    rows = operators_planted.operators_planted(tmp_path / "t.csv", seed=3, workers=1, progress=QuietProgress())
    with (tmp_path / "t.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{key: str(value) for key, value in row.items()} for row in rows]
    expected = [(truth, name, seed) for truth in TRUTHS for name in ("additive", "mag") for seed in (3, 4)]
    assert [(row["truth"], row["operator"], row["seed"]) for row in rows] == expected


@published
def test_the_published_table_holds_its_claim() -> None:
    """Every family's own operators come within 2 % of the best score, the wrong ones do not; mean of the seeds."""
    shortfalls: dict[tuple[str, str], list[float]] = {}
    with TABLE.open(newline="") as file:
        for row in csv.DictReader(file):
            shortfalls.setdefault((row["truth"], row["operator"]), []).append(float(row["shortfall"]))
    assert set(shortfalls) == {(truth, name) for truth in TRUTHS for name in PANEL}
    assert all(len(values) == SEEDS for values in shortfalls.values())
    mean = {key: sum(values) / len(values) for key, values in shortfalls.items()}
    far = {(n, name): mean[n, name] for n, truth in TRUTHS.items() for name in truth.own if mean[n, name] > NEAR}
    near = {(n, name): mean[n, name] for n, truth in TRUTHS.items() for name in truth.wrong if mean[n, name] <= NEAR}
    assert (far, near) == ({}, {})


@published
def test_the_page_is_made_from_the_published_table() -> None:
    message = "write it anew: python -m fusionnas.bench.operators_page > docs/which_operator.md"
    assert (DOCS / "which_operator.md").read_text(encoding="utf-8") == which_operator_page(), message


def test_the_page_marks_what_is_near_and_what_cannot_be(tmp_path: Path) -> None:
    rows = [(truth, name) for truth in TRUTHS for name in PANEL]
    text = "\n".join(f"{truth},{name},{0.3 if name == 'bilinear' else 0.01}" for truth, name in rows)
    (tmp_path / "t.csv").write_text(f"truth,operator,shortfall\n{text}\n")
    page = operators_page.which_operator_page(tmp_path / "t.csv")
    assert "| `bilinear` | *30.0* | 30.0 |" in page and "| `gated` | **1.0** |" in page
