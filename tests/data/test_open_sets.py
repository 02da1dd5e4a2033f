"""The registered real sets besides PhysioNet 2012: what they hold, and that they refuse what would leak."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fusionnas.data.load import load_cohort, load_dataset, load_records
from fusionnas.errors import DataError
from fusionnas.space import SearchSpace

FACTS = {  # set: samples of development and test, share of the last class in test
    "avdigits": (6800, 1000, 0.091),
    "sensors": (3420, 570, 1 / 19),
    "mfeat": (1000, 500, 0.1),
    "reviews": (14712, 3395, 0.183),
    "diabetes130": (64683, 14879, 0.114),
    "ehr_codes": (933, 310, 0.068),
}


def needs(name: str) -> Path:
    folder = Path(os.environ.get("FUSIONNAS_DATA", "")) / name
    if not os.environ.get("FUSIONNAS_DATA") or not folder.is_dir():
        pytest.skip(f"needs the set {name}: set FUSIONNAS_DATA to the folder that holds it")
    return folder


@pytest.mark.parametrize("name", FACTS)
def test_sizes_and_labels(name: str) -> None:
    needs(name)
    cohort = load_cohort(SearchSpace.load(name), None, None)
    development, test, share = FACTS[name]
    assert cohort.test is not None and cohort.test.target is not None
    assert (len(cohort.development), len(cohort.test)) == (development, test)
    assert (cohort.test.target == cohort.test.target.max()).mean() == pytest.approx(share, abs=1e-3)
    assert cohort.description["source"] == name and cohort.description["licence"]


def test_patients_are_never_in_two_parts() -> None:
    needs("ehr_codes")
    data = load_dataset(SearchSpace.load("ehr_codes"))
    parts = [data.search.train, data.search.alpha, data.search.select, data.test.open(lambda: None)]
    groups = [set(part.groups.tolist()) for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert 0.75 < float(data.search.train.inputs["medications"].present.float().mean()) < 0.9  # a quarter has none


def test_a_single_file_is_scored_whole() -> None:
    folder = needs("mfeat")
    records, which = load_records(SearchSpace.load("mfeat"), data_path=folder / "test.npz")
    assert (len(records), which) == (500, "all")


def test_an_outcome_is_no_input_of_another() -> None:
    needs("reviews")
    space = SearchSpace.load("reviews", ["modalities.table.columns=[age, rating]", "modalities.table.log=[]"])
    with pytest.raises(DataError, match="modalities.table.columns: 'rating' is an outcome, not an input"):
        load_cohort(space, None, None)
    with pytest.raises(DataError, match="task.target: 'age', expected recommended_ind or rating"):
        load_cohort(SearchSpace.load("reviews", ["task.target=age"]), None, None)


def test_what_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FUSIONNAS_DATA", raising=False)
    with pytest.raises(DataError, match="mfeat is not at hand\n  FUSIONNAS_DATA is not set and no --data-path"):
        load_cohort(SearchSpace.load("mfeat"), None, None)
    monkeypatch.setenv("FUSIONNAS_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"mfeat: no such folder \(FUSIONNAS_DATA is .*\): write the six tables"):
        load_cohort(SearchSpace.load("mfeat"), None, None)


def test_long_stays_are_another_outcome() -> None:
    needs("ehr_codes")
    cohort = load_cohort(SearchSpace.load("ehr_codes", ["task.target=long_stay"]), None, None)
    assert cohort.development.classes == ("short", "long")
    assert 0.2 < float(np.mean(cohort.development.target)) < 0.5
