"""FusionClassifier: a search in scikit-learn's manners."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import fusionnas as fn
from fusionnas.errors import DataError

SPACE = """
name: small
task: {kind: binary, target: whatever, metric: roc_auc}
modalities:
  left: {kind: vector, encoder: mlp, levels: 1}
  right: {kind: tabular, encoder: mlp, levels: 1}
fusion: {nodes: 1, width: 8, operators: [additive, multiplicative]}
training: {epochs: 12, learning_rate: 0.02, refit: false}
search: {epochs: 1, seeds: 1, folds: 1, random: 0, heads: 10}
"""


@pytest.fixture(scope="module")
def samples() -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 300, 3)).astype(np.float32)
    return {"left": left, "right": right}, np.where(left[:, 0] + right[:, 0] > 0, "yes", "no")


@pytest.fixture(scope="module")
def fitted(samples: tuple) -> fn.FusionClassifier:
    return fn.FusionClassifier(fn.SearchSpace.parse(SPACE)).fit(*samples)


def test_it_predicts_like_a_scikit_learn_classifier(fitted: fn.FusionClassifier, samples: tuple) -> None:
    X, y = samples
    probability = fitted.predict_proba(X)
    assert probability.shape == (300, 2) and np.allclose(probability.sum(1), 1)
    assert fitted.classes_.tolist() == ["no", "yes"]
    assert (fitted.predict(X) == fitted.classes_[probability.argmax(1)]).all()
    assert fitted.score(X, y) > 0.7
    one = {name: values[:1] for name, values in X.items()}
    assert np.allclose(fitted.predict_proba(one), probability[:1], atol=1e-6)


def test_what_was_found_is_there(fitted: fn.FusionClassifier) -> None:
    assert fitted.results_["test"]["roc_auc"] > 0.7
    assert fitted.architecture_.id == fitted.results_["architecture"]
    assert sum(p.numel() for p in fitted.network_.parameters()) > 0


def test_parameters_clone_and_unfitted_use(fitted: fn.FusionClassifier, samples: tuple) -> None:
    copy = clone(fitted)
    assert copy.get_params()["seed"] == 0
    with pytest.raises(NotFittedError):
        copy.predict(samples[0])


def test_a_run_is_kept_where_asked_and_labels_keep_their_type(tmp_path: Path, samples: tuple) -> None:
    X, y = samples
    groups = np.arange(300) // 3
    classifier = fn.FusionClassifier(fn.SearchSpace.parse(SPACE), run_dir=tmp_path / "kept")
    classifier.fit({**X, "right": X["right"].astype(str)}, (y == "yes").astype(int), groups=groups)
    assert classifier.predict(X).dtype.kind == "i"
    assert (tmp_path / "kept" / "run" / "results.json").is_file()
    assert fn.resume(tmp_path / "kept" / "run").architecture == classifier.architecture_


def test_wrong_inputs_are_told(fitted: fn.FusionClassifier, samples: tuple) -> None:
    X, y = samples
    with pytest.raises(DataError, match="expected a mapping of arrays by name"):
        fitted.predict(X["left"])
    with pytest.raises(DataError, match="no input array 'right'"):
        fitted.predict({"left": X["left"]})
    with pytest.raises(DataError, match="lengths differ: left has 3, right has 300"):
        fitted.predict({**X, "left": X["left"][:3]})
    with pytest.raises(DataError, match=r"y has shape \(300, 1\), expected \(samples,\)"):
        fitted.fit(X, y[:, None])
