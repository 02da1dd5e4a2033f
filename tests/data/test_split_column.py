"""One table that says its own parts, a positive label among several, and rows to leave out."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionnas.data.load import load_cohort, load_dataset, load_records
from fusionnas.errors import DataError, SpaceError
from fusionnas.space import SearchSpace

SPACE = """
name: t
data: {format: csv, train: t.csv, split: part, target: y, exclude: {ward: [hospice]}}
task: {kind: binary, target: y, positive: "<30"}
modalities:
  x: {kind: tabular, encoder: mlp, columns: [x]}
  w: {kind: tabular, encoder: mlp, columns: [ward]}
"""


def write(path: Path, *, parts: str = "train,test", header: str = "part,x,ward,y") -> None:
    rows = [f"{parts.split(',')[i % 2]},{i},{'hospice' if i % 10 == 9 else 'home'},{('<30', '>30', 'NO')[i % 3]}"
            for i in range(240)]  # fmt: skip
    path.write_text("\n".join([header, *rows]) + "\n")


def space(folder: Path, *overrides: str) -> SearchSpace:
    return SearchSpace.parse(SPACE, folder=folder, overrides=overrides)


def test_the_column_says_the_parts_and_rows_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "t.csv")
    cohort = load_cohort(space(tmp_path), None, None)
    assert cohort.test is not None and cohort.development.target is not None
    assert (len(cohort.development), len(cohort.test)) == (120, 96)  # every tenth row, all of them odd: hospice
    assert cohort.development.classes == ("not <30", "<30")
    assert cohort.development.target.sum() == 40
    assert "t.csv:1" in cohort.test.ids and "t.csv:9" not in cohort.test.ids  # places in the file, as they stand there
    assert len(load_dataset(space(tmp_path)).search.train) > 60


def test_new_data_need_not_say_parts(tmp_path: Path) -> None:
    write(tmp_path / "t.csv")
    (tmp_path / "new.csv").write_text("x,ward,y\n1,home,NO\n2,home,NO\n3,hospice,<30\n")
    records, which = load_records(space(tmp_path), data=tmp_path / "new.csv")
    assert which == "all" and records.classes == ("not <30", "<30")
    assert records.target is not None and records.target.tolist() == [0, 0]
    write(tmp_path / "new.csv", parts="withheld,withheld")
    assert len(load_records(space(tmp_path), data=tmp_path / "new.csv")[0]) == 216


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", parts="train,valid")
    with pytest.raises(DataError, match=r"'part' is 'valid' \(96 samples\), expected train, alpha, select, test"):
        load_cohort(space(tmp_path), None, None)
    write(tmp_path / "t.csv", parts="test,test")
    with pytest.raises(DataError, match="no sample whose 'part' is train"):
        load_cohort(space(tmp_path), None, None)
    write(tmp_path / "t.csv", header="prt,x,wardd,y")
    with pytest.raises(DataError, match=r"no column 'ward' \(modalities.*\n.*no split column 'part'"):
        load_cohort(space(tmp_path), None, None)
    write(tmp_path / "t.csv")
    with pytest.raises(DataError, match="task.positive: '<31'. Did you mean '<30'?"):
        load_cohort(space(tmp_path, "task.positive=<31"), None, None)


def test_keys_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="data.test: given beside 'split'"):
        space(tmp_path, "data.test=u.csv")
    with pytest.raises(SpaceError, match="task.positive: only a binary task has a positive label"):
        space(tmp_path, "task.kind=multiclass")
    with pytest.raises(SpaceError, match="data.exclude: is for tables"):
        space(tmp_path, "data.format=npz")
