"""The planted problems of the training methods hold what they promise, and every method can be asked for."""

from __future__ import annotations

import pytest
from sklearn.linear_model import LogisticRegression

from fusionnas.bench.training_methods import METHODS, PROBLEMS, SPACE, _one, neglected, overfitting, prejudiced
from fusionnas.data.base import Part
from fusionnas.space import SearchSpace
from fusionnas.training.method import training_methods


def linear(part: Part, other: Part, modality: str) -> float:
    """How well a linear rule on one modality does on other samples."""
    fitted = LogisticRegression().fit(part.inputs[modality].values[:, 0], part.target)
    return float(fitted.score(other.inputs[modality].values[:, 0], other.target))


def test_loud_is_easy_and_quiet_is_not_linear() -> None:
    problem = neglected(0)
    assert linear(problem.train, problem.judged, "loud") > 0.99
    assert linear(problem.train, problem.judged, "quiet") < 0.56


def test_a_prejudice_holds_in_training_and_nowhere_else() -> None:
    problem = prejudiced(0)
    assert linear(problem.train, problem.train, "loud") > 0.95 > 0.55 > linear(problem.train, problem.judged, "loud")


def test_much_to_remember_and_little_to_say() -> None:
    problem = overfitting(0)
    assert linear(problem.train, problem.train, "loud") - linear(problem.train, problem.judged, "loud") > 0.1


def test_problems_are_seeded() -> None:
    for make in PROBLEMS.values():
        first, again, other = make(1), make(1), make(2)
        assert first.train.target.equal(again.train.target) and not first.train.target.equal(other.train.target)


def test_every_method_is_measured_and_its_settings_are_valid() -> None:
    words = " ".join(METHODS)
    assert all(name in words for name in training_methods)
    for settings in METHODS.values():
        SearchSpace.parse(SPACE, overrides=[f"training.{setting}" for setting in settings])


@pytest.mark.parametrize("method", ["plain", "missing"])
def test_a_row_has_accuracies(method: str) -> None:
    row = _one(overfitting(0), (*METHODS[method], "epochs=2"), 0)
    assert set(row) == {"accuracy", "without_loud", "without_quiet", "noisy"}
    assert all(0.4 < float(value) <= 1 for value in row.values())
