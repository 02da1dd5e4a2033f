"""The planted sets hold what they promise: nothing in one modality alone, everything in the planted two."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neural_network import MLPClassifier

from fusionnas.bench.planted import INTERACTIONS, SPACE, generate
from fusionnas.space import SearchSpace


@pytest.mark.parametrize("kind", INTERACTIONS)
def test_label_is_balanced_and_sets_are_seeded(kind: str) -> None:
    arrays, best = generate(kind, shortcut=0.75, rng=np.random.default_rng(3))
    again, _ = generate(kind, shortcut=0.75, rng=np.random.default_rng(3))
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)
    assert 0.45 < arrays["label"].mean() < 0.55
    assert best == 1.0 if kind != "product" else 0.93 < best < 0.97


def test_neither_planted_modality_says_anything_alone_but_both_do_together() -> None:
    arrays, _ = generate("gating", shortcut=0.5, rng=np.random.default_rng(0))
    label, half = arrays["label"], len(arrays["label"]) // 2
    alone = HistGradientBoostingClassifier(random_state=0).fit(arrays["d"][:half], label[:half])
    assert alone.score(arrays["d"][half:], label[half:]) < 0.56
    both = np.concatenate([arrays["b"], arrays["d"]], axis=1)
    network = MLPClassifier((64,), random_state=0, max_iter=60, early_stopping=True).fit(both[:half], label[:half])
    assert network.score(both[half:], label[half:]) > 0.9


def test_shortcut_is_right_as_often_as_it_says() -> None:
    arrays, _ = generate("xor", shortcut=0.75, rng=np.random.default_rng(1))
    label = arrays["label"]
    fitted = HistGradientBoostingClassifier(random_state=0).fit(arrays["a"][:1500], label[:1500])
    assert 0.68 < fitted.score(arrays["a"][1500:], label[1500:]) < 0.80


def test_space_is_valid() -> None:
    assert list(SearchSpace.parse(SPACE).groups()) == ["a", "b", "c", "d"]
