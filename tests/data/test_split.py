import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusionnas.data.split import split
from fusionnas.errors import DataError

FOUR = {"train": 0.5, "alpha": 0.1, "select": 0.2, "test": 0.2}


@given(st.integers(40, 300), st.integers(2, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_parts_are_disjoint_complete_and_stratified(size: int, labels: int, seed: int) -> None:
    target = np.concatenate([np.repeat(np.arange(labels), 4), np.random.default_rng(seed).integers(0, labels, size)])
    parts, notes = split(target, FOUR, np.random.default_rng(seed))
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(target)))
    assert not notes
    for name, share in FOUR.items():
        for label in range(labels):
            total = (target == label).sum()
            assert abs((target[parts[name]] == label).sum() - share * total) <= 3
            assert (target[parts[name]] == label).any()


@given(st.integers(60, 200), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_groups_never_cross_and_shares_are_close(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(count), rng.integers(1, 6, count)))
    target = rng.integers(0, 2, len(groups))
    parts, _ = split(target, FOUR, np.random.default_rng(seed), groups=groups)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(groups)))
    owners = [set(groups[index]) for index in parts.values()]
    assert sum(map(len, owners)) == count
    for name, share in FOUR.items():
        for label in (0, 1):
            assert abs((target[parts[name]] == label).sum() / (target == label).sum() - share) < 0.08


def test_the_same_seed_gives_the_same_parts_and_another_gives_others() -> None:
    target = np.tile([0, 1], 50)
    one, two, other = (split(target, FOUR, np.random.default_rng(s))[0]["test"].tolist() for s in (0, 0, 1))
    assert one == two != other


def test_few_groups_still_reach_every_part() -> None:
    groups = np.repeat(np.arange(4), 10)
    parts, _ = split(np.tile([0, 1], 20), FOUR, np.random.default_rng(0), groups=groups)
    assert [len(index) for index in parts.values()] == [10, 10, 10, 10]


def test_a_rare_label_goes_to_train_with_a_note() -> None:
    target = np.array([0] * 20 + [1] * 20 + [2] * 3)
    parts, notes = split(target, FOUR, np.random.default_rng(0), classes=("a", "b", "rare"))
    assert (target[parts["train"]] == 2).sum() == 3
    assert notes == ["label 'rare' has 3 samples, fewer than the 4 parts: all in train"]


def test_too_little_data_is_refused_with_counts() -> None:
    with pytest.raises(DataError, match="need at least 4 samples of two labels; samples by label: 'a' 20, 'b' 2"):
        split(np.array([0] * 20 + [1] * 2), FOUR, np.random.default_rng(0), classes=("a", "b"))
    with pytest.raises(DataError, match="groups by label: 'a' 3, 'b' 3"):
        split(np.tile([0, 1], 30), FOUR, np.random.default_rng(0), groups=np.repeat([1, 2, 3], 20), classes=("a", "b"))
    with pytest.raises(DataError, match="samples by label: 'a' 9"):
        split(np.zeros(9, np.int64), FOUR, np.random.default_rng(0), classes=("a", "b"))
    with pytest.raises(DataError, match="samples by label: none"):
        split(np.zeros(0, np.int64), FOUR, np.random.default_rng(0))
