"""The planted sets hold what they promise: nothing in one modality alone, everything in the planted two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neural_network import MLPClassifier

from fusionnas.bench import planted
from fusionnas.bench.base import run_bench
from fusionnas.bench.planted import GRID, INTERACTIONS, MORE, Case, generate, one, summary
from fusionnas.data.base import Part
from fusionnas.errors import InputError
from fusionnas.run.progress import QuietProgress

TINY = ("search.epochs=1", "search.heads=8", "search.rungs=[1]", "search.rescore=1", "search.finalists=1",
        "search.folds=1", "training.epochs=1", "fusion.nodes=1")  # fmt: skip
SHORT = (
    planted.SPACE.replace("epochs: 12, heads: 120, rescore: 6, folds: 2", "epochs: 1, heads: 8, folds: 1")
    .replace("epochs: 20", "epochs: 1")
    .replace("nodes: 2", "nodes: 1")
)


def columns(part: Part, *names: str) -> NDArray[np.float32]:
    return np.concatenate([part.inputs[name].values[:, 0].numpy() for name in names], axis=1)


@pytest.mark.parametrize("case", [*GRID, *MORE], ids=str)
def test_labels_are_balanced_and_sets_are_seeded(case: Case) -> None:
    data, test, best = generate(case, 3)
    again, same, _ = generate(case, 3)
    for part, other in ((data.train, again.train), (test, same)):
        assert all(np.array_equal(columns(part, name), columns(other, name)) for name in part.inputs)
    assert len(test.inputs) == case.modalities and set(test.inputs) >= {"b", "d"}
    assert 0.45 < float(test.target.float().mean()) < 0.55
    assert abs(best.accuracy - (1 - case.noise)) < 0.03 and (best.accuracy == 1.0) == (case.noise == 0)


@pytest.mark.parametrize("shortcut", [0.5, 0.75, 0.85])
def test_the_least_loss_is_the_entropy_that_planted_two_and_shortcut_leave(shortcut: float) -> None:
    least = [generate(Case("product", shortcut, noise=noise), 5)[2].loss for noise in (0.0, 0.1)]
    # H(label | sign, bit) = H(label | sign) + H(bit | label) - H(bit | sign)
    agrees = 0.9 * shortcut + 0.1 * (1 - shortcut)
    entropy = [-sum(p * np.log(p) for p in (share, 1 - share)) for share in (0.1, shortcut, agrees)]
    assert least == pytest.approx([0.0, entropy[0] + entropy[1] - entropy[2]], abs=0.05)


def test_neither_planted_modality_says_anything_alone_but_both_do_together() -> None:
    for kind in INTERACTIONS:
        data, test, _ = generate(Case(kind, 0.5), 0)
        label = data.train.target.numpy()
        alone = HistGradientBoostingClassifier(random_state=0, max_iter=20).fit(columns(data.train, "d"), label)
        assert alone.score(columns(test, "d"), test.target.numpy()) < 0.56
        together = MLPClassifier((64,), random_state=0, max_iter=60, early_stopping=True)
        together.fit(columns(data.train, "b", "d"), label)
        assert together.score(columns(test, "b", "d"), test.target.numpy()) > 0.85


@pytest.mark.parametrize("share", [0.5, 0.75, 0.85])
def test_the_shortcut_is_right_as_often_as_it_says(share: float) -> None:
    data, test, _ = generate(Case("xor", share), 1)
    fitted = HistGradientBoostingClassifier(random_state=0, max_iter=20).fit(
        columns(data.train, "a"), data.train.target.numpy()
    )
    assert fitted.score(columns(test, "a"), test.target.numpy()) == pytest.approx(share, abs=0.05)


@pytest.mark.slow
def test_the_alpha_rate_means_nothing_to_the_default_and_much_to_its_rivals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted, "SIZES", (60, 30, 30, 100))
    case = Case("xor", 0.75, 3)
    slow, fast = (one("default", case, 0, rate, TINY) for rate in planted.RATES)
    assert {**slow, "seconds": 0} == {**fast, "seconds": 0} and slow["alpha_rate"] == "any"
    rival = one("bm_nas", case, 0, 3e-3, TINY)
    assert rival["alpha_rate"] == 3e-3 and rival["found"] == rival["proposed"]


def test_the_shortcut_is_of_use_where_it_knows_the_noise() -> None:
    assert [sorted(case.useful) for case in (*GRID[:4], MORE[2])] == [["b", "d"]] * 3 + [["a", "b", "d"]] * 2


def test_the_summary_counts_per_method_and_case(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"method": "default", "alpha_rate": "any", "interaction": "xor", "shortcut": 0.5, "modalities": 4,
           "noise": 0.0, "proposed_planted": True, "found_planted": True, "found_useless": False, "accuracy": "0.9950",
           "attainable": "1.0000", "shortfall": "0.0050", "loss": "0.1000", "attainable_loss": "0.0000",
           "seconds": "2.0"}  # fmt: skip
    missed = {**row, "found_planted": False, "found_useless": True, "accuracy": "0.7000", "shortfall": "0.3000"}
    rows = [row, missed, {**row, "shortcut": 0.75}]
    first, second = summary(rows)
    assert (first["runs"], first["found_planted"], first["proposed_planted"]) == (2, "0.50", "1.00")
    assert (first["found_useless"], second["found_useless"]) == ("0.50", "0.00")
    assert (first["within_a_point"], first["accuracy"], second["runs"]) == ("0.50", "0.8475", 1)


def test_every_run_has_a_row_and_every_case_a_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted, "SIZES", (60, 30, 30, 100))
    monkeypatch.setattr(planted, "GRID", (replace(GRID[1], modalities=3),))
    monkeypatch.setattr(planted, "MORE", ())
    monkeypatch.setattr(planted, "SPACE", SHORT)
    output = tmp_path / "planted.csv"
    told = run_bench("planted", output, ("1",), seed=0, workers=1, progress=QuietProgress(stages=False))
    assert [row["runs"] for row in told] == [1] * 5  # the default, and two rivals at two rates
    assert len(output.read_text().splitlines()) == len((tmp_path / "planted_summary.csv").read_text().splitlines()) == 6
    with pytest.raises(InputError, match="given 'many', expected the number of seeds or nothing"):
        run_bench("planted", output, ("many",), seed=0, workers=1, progress=QuietProgress(stages=False))
