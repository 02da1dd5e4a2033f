"""What a study varies is checked before anything is searched."""

from __future__ import annotations

import pytest

from fusionnas.errors import InputError, SpaceError
from fusionnas.space import SearchSpace
from fusionnas.studies.ranges import check_ranges, varied
from tests.spaces import OPERATORS, TEXT

BASE = TEXT.format(nodes=1, inputs="[2, 3]", operators=", ".join(OPERATORS))


def space_with(study: str) -> SearchSpace:
    return SearchSpace.parse(f"{BASE}study: {study}\n")


def test_values_become_settings_of_the_space() -> None:
    space = space_with(
        "{training.learning_rate: {low: 0.00001, high: 0.1, log: true}, "
        "fusion.operators: ['[additive]', '[mlp]'], seed: [0, 1]}"
    )
    check_ranges(space)
    found = varied(space, {"training.learning_rate": 1e-05, "fusion.operators": "[mlp]", "seed": 1})
    assert found.file.training.learning_rate == 1e-05
    assert found.file.fusion.operators == ("mlp",)
    assert found.file.study == {}
    assert SearchSpace.parse(space.to_yaml()) == space


def test_all_that_is_wrong_is_told_at_once() -> None:
    study = (
        "{training.dropout: {low: 0.0, high: 2.0}, "
        "search.methot: [darts], task.metric: [auroc], search.seeds: [1, 2], seed: [0.5]}"
    )
    with pytest.raises(InputError) as told:
        check_ranges(space_with(study))
    text = str(told.value)
    assert "study.training.dropout: " in text and "less than 1" in text
    assert "study.search.methot: " in text and "method" in text
    assert "study.task.metric: cannot vary: losses of another task cannot be compared" in text
    assert "study.search.seeds: cannot vary: it counts only after the choice" in text
    assert "study.seed: given 0.5, expected a whole number from 0" in text


def test_trials_share_no_batches() -> None:
    with pytest.raises(InputError, match="search.data_parallel: given 2, but trials run side by side"):
        check_ranges(SearchSpace.parse(BASE, overrides=["search.data_parallel=2"]))
    with pytest.raises(InputError, match="study.search.data_parallel: cannot vary: trials run side by side"):
        check_ranges(space_with("{search.data_parallel: [1, 2]}"))


def test_no_ranges_are_told_with_an_example() -> None:
    with pytest.raises(
        InputError, match=r"gives no ranges\n  say what varies, such as  study: \{training.learning_rate"
    ):
        check_ranges(SearchSpace.parse(BASE))


@pytest.mark.parametrize(
    ("extent", "told"),
    [("{low: 2, high: 1}", "low 2 has to be below high 1"),
     ("{low: 0.0, high: 1.0, log: true}", "log needs low above 0"), ("[]", "study"), ("{low: 1}", "high")],
)  # fmt: skip
def test_a_range_that_is_none_is_told_by_the_space(extent: str, told: str) -> None:
    with pytest.raises(SpaceError, match=told):
        space_with(f"{{training.epochs: {extent}}}")
