import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from fusionnas.data.base import Cohort, datasets
from fusionnas.data.preprocessing import Preprocessing
from fusionnas.data.raw import Series, Table
from fusionnas.data.records import Records
from fusionnas.data.sources import icu
from fusionnas.data.sources.physionet2012 import read_set
from fusionnas.data.sources.simulated_icu import generate
from fusionnas.data.tables import chunks, read_table
from fusionnas.errors import DataError
from fusionnas.space import SearchSpace

SUMMARIES = SearchSpace.parse("""
name: summaries
task: {kind: binary, target: in_hospital_death}
modalities:
  static: {kind: tabular, encoder: mlp}
  vitals: {kind: timeseries, encoder: summary}
  labs: {kind: timeseries, encoder: summary}
fusion: {nodes: 1}
""")


def features(records: Records, preprocessing: Preprocessing) -> dict[str, np.ndarray]:
    return {name: given.values[:, 0].numpy() for name, given in preprocessing.transform(records).items()}


@pytest.fixture(scope="module")
def simulated() -> Cohort:
    return datasets["simulated_icu"](SUMMARIES, path=None)


def test_simulated_stays_look_like_intensive_care(simulated: Cohort) -> None:
    records = simulated.development
    vitals, labs = records.modalities["vitals"], records.modalities["labs"]
    assert isinstance(vitals, Series) and isinstance(labs, Series)
    assert (len(records), len(simulated.test or ())) == (2400, 1600)
    assert vitals.variables == icu.VITALS and labs.variables == icu.LABS
    assert records.target is not None and 0.15 < records.target.mean() < 0.3
    lactate = icu.LABS.index("Lactate")
    assert 0.3 < len(np.unique(labs.sample[labs.variable == lactate])) / 2400 < 0.8
    for raw in (vitals, labs):
        for index, name in enumerate(raw.variables):
            values = raw.values[raw.variable == index]
            low, high = icu.RANGES[name]
            assert low <= values.min() and values.max() <= high, name


def test_the_sick_are_measured_more() -> None:
    records, _ = generate(3000, np.random.default_rng(5))
    labs = records.modalities["labs"]
    assert isinstance(labs, Series) and records.target is not None
    counts = np.diff(labs.offsets)
    assert counts[records.target == 1].mean() > 1.05 * counts[records.target == 0].mean()


def test_simulation_is_the_same_in_every_process(simulated: Cohort) -> None:
    code = (
        "from fusionnas.data.base import datasets\n"
        "print(datasets['simulated_icu'](None, path=None).development.digest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == simulated.development.digest()


def test_outcome_needs_vitals_and_labs_together(simulated: Cohort) -> None:
    train, test = simulated.development, simulated.test
    assert test is not None and train.target is not None
    preprocessing = Preprocessing.fit(train, SUMMARIES)
    x, new = features(train, preprocessing), features(test, preprocessing)

    def score(model: object, *names: str) -> float:
        columns = np.concatenate([x[name] for name in names], 1), np.concatenate([new[name] for name in names], 1)
        predicted = model.fit(columns[0], train.target).predict_proba(columns[1])[:, 1]  # type: ignore[attr-defined]
        return float(average_precision_score(test.target, predicted))

    def trees() -> HistGradientBoostingClassifier:
        return HistGradientBoostingClassifier(max_iter=80, learning_rate=0.1, max_leaf_nodes=8, random_state=0)

    additive = score(LogisticRegression(C=0.003, max_iter=500), "static", "vitals", "labs")
    alone = max(score(trees(), name) for name in ("vitals", "labs"))
    together = score(trees(), "vitals", "labs")
    best = simulated.facts["bayes"]["average_precision"]
    assert together > additive + 0.1
    assert together > alone + 0.15
    assert together < best < 0.95
    assert simulated.facts["planted_interaction"] == ["vitals", "labs"]


def test_simulation_has_no_folder() -> None:
    with pytest.raises(DataError, match="there is no folder to read; leave it out"):
        datasets["simulated_icu"](SUMMARIES, path=Path("x"))


STAY = """Time,Parameter,Value
00:00,RecordID,{id}
00:00,Age,54
00:00,Gender,{gender}
00:00,Height,-1
00:00,ICUType,4
00:00,Weight,{weight}
00:07,HR,73
00:07,,5
37:30,pH,7.35
48:00,HR,80
48:00,Weight,81.5
"""


def official_set(folder: Path, ids: list[int], *, outcomes: bool = True) -> Path:
    folder.mkdir(parents=True)
    for i, record in enumerate(ids):
        text = STAY.format(id=record, gender=i % 2 if i else -1, weight=-1 if i == 0 else 80)
        (folder / f"{record}.txt").write_text(text)
    if outcomes:
        rows = "".join(f"{record},6,1,5,-1,{i % 2}\n" for i, record in enumerate(ids))
        name = folder.parent / f"Outcomes-{folder.name[-1]}.txt"
        name.write_text("RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n" + rows)
    return folder


def test_official_layout_is_read_with_its_quirks(tmp_path: Path) -> None:
    official_set(tmp_path / "set-a", [132540, 132539])
    official_set(tmp_path / "set-b", [142675], outcomes=False)
    cohort = datasets["physionet2012"](SUMMARIES, path=tmp_path)
    records, test = cohort.development, cohort.test
    assert records.ids.tolist() == ["132539", "132540"] and test is not None and test.target is None
    assert records.target is not None and sorted(records.target.tolist()) == [0, 1]
    static, vitals, labs = (records.modalities[name] for name in ("static", "vitals", "labs"))
    assert isinstance(static, Table) and isinstance(vitals, Series) and isinstance(labs, Series)
    known = static.values[1]
    assert np.isnan(known[list(static.names).index("Gender")]) and np.isnan(known[list(static.names).index("Height")])
    assert static.words["ICUType"].tolist() == ["surgical", "surgical"]
    assert vitals.times.tolist() == [0, 7, 2880, 2880, 7, 2880, 2880]
    assert [vitals.variables[i] for i in vitals.variable] == ["Weight", "HR", "HR", "Weight", "HR", "HR", "Weight"]
    assert labs.times.tolist() == [2250, 2250]


def test_a_single_set_is_all_development(tmp_path: Path) -> None:
    cohort = datasets["physionet2012"](SUMMARIES, path=official_set(tmp_path / "set-c", [1, 2, 3]))
    assert len(cohort.development) == 3 and cohort.test is None


def test_table_layout_equals_official_layout(tmp_path: Path) -> None:
    raw = read_set(official_set(tmp_path / "set-a", [132539]))
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "static.csv").write_text("RecordID,Age,Gender,Height,ICUType,Weight\n132539,54,-1,-1,4,-1\n")
    events = "132539,7,HR,73\n132539,2250,pH,7.35\n132539,2880,HR,80\n132539,2880,Weight,81.5\n"
    (folder / "events.csv").write_text("RecordID,minutes,variable,value\n" + events)
    (folder / "outcomes.csv").write_text("RecordID,In_hospital_death\n132539,0\n")
    assert read_set(folder).digest() == raw.digest()


def test_what_is_wrong_with_a_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FUSIONNAS_DATA", raising=False)
    with pytest.raises(DataError, match=r"FUSIONNAS_DATA is not set(.|\n)*physionet.org/content/challenge-2012"):
        datasets["physionet2012"](SUMMARIES, path=None)
    with pytest.raises(DataError, match="expected a folder with set-a and set-b, or one set"):
        datasets["physionet2012"](SUMMARIES, path=tmp_path)
    broken = official_set(tmp_path / "set-a", [1])
    (broken / "1.txt").write_text("Time,Parameter,Value\n00:07;HR;73\n")
    with pytest.raises(DataError, match=r"1.txt:2: '00:07;HR;73', expected 'HH:MM,Parameter,Value'"):
        read_set(broken)
    (broken / "1.txt").write_text("Time,Parameter,Value\n00:07,HR,73\n")
    (tmp_path / "Outcomes-a.txt").write_text("RecordID,In-hospital_death\n1,7\n")
    with pytest.raises(DataError, match=r"column 'In_hospital_death': stay 1 has '7', expected 0 or 1"):
        read_set(broken)


def test_real_set_a_agrees_with_its_statistics(real_data: Path) -> None:
    records = read_set(real_data / "set_a")
    expected = read_table(real_data / "set_a" / "variable_stats.csv")
    assert len(records) == 4000 and records.target is not None and records.target.sum() == 554
    for i, name in enumerate(expected["variable"]):
        raw = records.modalities["vitals" if name in icu.VITALS else "labs"]
        assert isinstance(raw, Series)
        mine = raw.variable == raw.variables.index(name)
        values = raw.values[mine]
        assert len(values) == int(expected["count"][i]), name
        assert len(np.unique(raw.sample[mine])) == int(expected["n_records"][i]), name
        found = [values.mean(), values.min(), np.median(values), values.max()]
        told = [float(expected[column][i]) for column in ("mean", "min", "median", "max")]
        np.testing.assert_allclose(found, told, atol=1e-4)
    empty = ~(records.modalities["vitals"].present | records.modalities["labs"].present)
    assert records.ids[empty].tolist() == ["140501", "140936", "141264"]


@pytest.mark.slow
def test_summaries_of_real_data_are_as_good_as_published(real_data: Path) -> None:
    train, test = read_set(real_data / "set_a"), read_set(real_data / "set_b")
    preprocessing = Preprocessing.fit(train, SUMMARIES)
    x, new = (np.concatenate(list(features(records, preprocessing).values()), 1) for records in (train, test))
    model = LogisticRegression(C=0.003, max_iter=1000).fit(x, train.target)
    predicted = model.predict_proba(new)[:, 1]
    assert roc_auc_score(test.target, predicted) > 0.8645
    assert average_precision_score(test.target, predicted) > 0.548
    assert json.dumps(preprocessing.to_json())


def test_real_stays_are_the_same_in_both_layouts(real_data: Path, tmp_path: Path) -> None:
    stays = 60
    static, outcomes = (read_table(real_data / "set_a" / f"{name}.csv") for name in ("static", "outcomes"))
    rows: dict[str, list[str]] = {record: [] for record in static["RecordID"][:stays]}
    for _, chunk in chunks(real_data / "set_a" / "events.csv.gz"):
        for record, minutes, name, value in zip(*chunk.values(), strict=True):
            if record in rows and not (name == "Weight" and minutes == "0"):  # that one is the descriptor
                rows[record].append(f"{int(minutes) // 60:02d}:{int(minutes) % 60:02d},{name},{value}")
    folder = tmp_path / "set-a"
    folder.mkdir()
    for i, (record, events) in enumerate(rows.items()):
        about = [f"00:00,{name},{static[name][i]}" for name in static]
        (folder / f"{record}.txt").write_text("\n".join(["Time,Parameter,Value", *about, *events]) + "\n")
    died = zip(outcomes["RecordID"], outcomes["In_hospital_death"], strict=True)
    (tmp_path / "Outcomes-a.txt").write_text(
        "RecordID,In-hospital_death\n" + "".join(f"{r},{d}\n" for r, d in died)
    )
    raw, tables = read_set(folder), read_set(real_data / "set_a").take(np.arange(stays))
    assert raw.digest() == tables.digest()
