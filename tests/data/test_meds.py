"""Folders in the MEDS layout."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from fusionnas.data.load import load_cohort, load_dataset, load_records
from fusionnas.data.raw import Series, Table, Tokens
from fusionnas.errors import DataError
from fusionnas.space import SearchSpace

START = datetime(2020, 1, 1)
SPACE = """
name: m
data: {format: meds, train: cohort, target: boolean_value, window: 24}
task: {kind: binary, target: boolean_value}
modalities:
  person: {kind: tabular, encoder: mlp, columns: [age, GENDER, WEIGHT]}
  labs: {kind: timeseries, encoder: gru}
  drugs: {kind: codes, encoder: embedding, columns: [DRUG]}
"""


def write(folder: Path, rows: list[dict]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), folder)


def cohort(folder: Path, subjects: int = 60, *, labels: bool = True, splits: bool = True) -> Path:
    rows: list[dict] = []
    for s in range(subjects):
        def add(hours: float | None, code: str, value: float | None = None, s: int = s) -> None:
            time = None if hours is None else START + timedelta(hours=hours)
            rows.append({"subject_id": s, "time": time, "code": code, "numeric_value": value})

        add(None, f"GENDER//{'F' if s % 2 else 'M'}")
        add(-24 * 365.25 * (40 + s), "MEDS_BIRTH")
        for hour, value in ((0, 1.0 + s), (20, 2.0 + s), (30, 99.0)):
            add(hour, "LAB//1", value)
        add(1, "WEIGHT", 70.0 + s)
        add(2, "DRUG//A")
        add(29, "DRUG//B")
    write(folder / "data" / "part-0.parquet", rows[: len(rows) // 2])
    write(folder / "data" / "more" / "part-1.parquet", rows[len(rows) // 2 :])
    if labels:
        when = START + timedelta(hours=24)
        told = [{"subject_id": s, "prediction_time": when, "boolean_value": s % 3 == 0} for s in range(subjects)]
        write(folder / "labels" / "all.parquet", told)
    if splits:
        names = ["held_out" if s % 5 == 4 else "tuning" if s % 5 == 3 else "train" for s in range(subjects)]
        write(folder / "metadata" / "subject_splits.parquet",
              [{"subject_id": s, "split": name} for s, name in enumerate(names)])  # fmt: skip
    return folder


def space(folder: Path, *overrides: str) -> SearchSpace:
    return SearchSpace.parse(SPACE, folder=folder, overrides=overrides)


def test_nothing_after_the_prediction_time_is_seen(tmp_path: Path) -> None:
    cohort(tmp_path / "cohort", splits=False)
    records = load_cohort(space(tmp_path), None, None).development
    person, labs, drugs = (records.modalities[name] for name in ("person", "labs", "drugs"))
    assert isinstance(person, Table) and isinstance(labs, Series) and isinstance(drugs, Tokens)
    assert records.ids[7] == "7@2020-01-02T00:00" and records.classes == ("False", "True")
    assert records.groups is not None and records.groups[7] == "7"
    assert person.words["GENDER"].tolist()[:2] == ["M", "F"]
    np.testing.assert_allclose(person.values[3], [43 + 1 / 365.25, 73.0], rtol=1e-9)
    assert labs.variables == ("LAB//1", "WEIGHT") and labs.horizon == 24
    mine = labs.sample == 5
    assert labs.times[mine].tolist() == [0, 1, 20] and labs.values[mine].tolist() == [6.0, 75.0, 7.0]
    assert drugs.vocabulary == ("DRUG//A",)


def test_the_splits_of_the_cohort_are_kept(tmp_path: Path) -> None:
    cohort(tmp_path / "cohort")
    data = load_dataset(space(tmp_path))
    assert len(data.search.select) == 12 and data.test.size == 12
    assert {int(name.split("@")[0]) % 5 for name in data.search.select.ids.tolist()} == {3}


def test_without_labels_each_subject_is_seen_at_its_last_event(tmp_path: Path) -> None:
    cohort(tmp_path / "cohort")
    cohort(tmp_path / "new", 4, labels=False, splits=False)
    records, which = load_records(space(tmp_path), data=tmp_path / "new")
    assert which == "all" and len(records) == 4 and records.target is None
    assert records.ids[0] == "0@2020-01-02T06:00"
    drugs = records.modalities["drugs"]
    assert isinstance(drugs, Tokens) and np.diff(drugs.offsets).tolist() == [2] * 4


def test_what_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "cohort").mkdir()
    with pytest.raises(DataError, match=r"data: no .parquet file in it(.|\n)*labels: no .parquet file in it"):
        load_cohort(space(tmp_path), None, None)
    cohort(tmp_path / "cohort", splits=False)
    with pytest.raises(DataError, match="no column 'integer_value'"):
        load_cohort(space(tmp_path, "data.target=integer_value"), None, None)
    wrong = ["modalities.labs.columns=[LAB//2]", "modalities.person.kind=vector"]
    with pytest.raises(DataError, match=r"'vector' is not read from MEDS(.|\n)*no numeric value of any of these codes"):
        load_cohort(space(tmp_path, *wrong), None, None)
