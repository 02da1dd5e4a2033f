import numpy as np
import pytest

from fusionnas.data.raw import Grid, Series, Table, Tokens
from fusionnas.data.records import Records


def series() -> Series:
    return Series.from_events(
        np.array([2, 0, 0, 2, 0]),
        np.array([5.0, 9.0, 1.0, 2.0, 3.0]),
        np.array([0, 1, 0, 1, 0]),
        np.array([50.0, 19.0, 1.0, 21.0, np.nan]),
        size=3,
        variables=("hr", "ph"),
    )


def test_events_are_put_in_order_of_sample_and_time_and_nan_is_dropped() -> None:
    raw = series()
    assert raw.offsets.tolist() == [0, 2, 2, 4]
    assert raw.values.tolist() == [1, 19, 21, 50]
    assert raw.times.tolist() == [1, 9, 2, 5]
    assert raw.present.tolist() == [True, False, True]


def test_taking_samples_keeps_their_rows_in_the_order_asked_for() -> None:
    raw = series().take(np.array([2, 1, 0, 2]))
    assert raw.offsets.tolist() == [0, 2, 2, 4, 6]
    assert raw.values.tolist() == [21, 50, 1, 19, 21, 50]


def test_dense_series_drop_what_is_not_observed_and_padding() -> None:
    values = np.array([[[1.0, np.nan], [2.0, 3.0]], [[np.nan, np.nan], [4.0, 5.0]]])
    raw = Series.from_dense(values, np.array([[0.0, 1.0], [0.0, np.nan]]))
    assert raw.values.tolist() == [1, 2, 3]
    assert raw.offsets.tolist() == [0, 3, 3]
    assert Series.from_dense(values).horizon == 2


def test_table_tells_categories_from_numbers_and_who_is_present() -> None:
    raw = Table.of({"age": np.array([1.0, np.nan]), "sex": np.array(["f", ""])})
    assert raw.names == ("age",)
    assert raw.present.tolist() == [True, False]
    assert raw.take(np.array([1])).words["sex"].tolist() == [""]


def test_tokens_from_lists_and_from_padded_ids_agree() -> None:
    listed = Tokens.of([["3", "7"], [], ["7"]])
    dense = Tokens.from_dense(np.array([[3, 7], [0, 0], [7, 0]]))
    for raw in (listed, dense):
        words = [raw.vocabulary[i] for i in raw.codes]
        assert (raw.offsets.tolist(), words) == ([0, 2, 2, 3], ["3", "7", "7"])
    assert listed.take(np.array([2, 0])).offsets.tolist() == [0, 1, 3]


def test_grid_without_any_value_is_absent() -> None:
    assert Grid(np.array([[[np.nan, 1.0]], [[np.nan, np.nan]]], np.float32)).present.tolist() == [True, False]


def test_digest_changes_with_every_part_of_the_records() -> None:
    def digest(value: float = 1.0, label: int = 0, name: str = "a") -> str:
        return Records(
            {"x": Table.vectors(np.array([[value]]))}, np.array([label]), np.array([name]), None, ("n", "y")
        ).digest()

    assert digest() == digest()
    assert len({digest(), digest(2.0), digest(label=1), digest(name="b")}) == 4


def test_records_refuse_inputs_of_different_length() -> None:
    with pytest.raises(AssertionError, match="differ in length"):
        Records({"x": Table.vectors(np.zeros((2, 1)))}, None, np.array(["a"]))
