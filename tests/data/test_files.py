from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionnas.data.files import load_files
from fusionnas.data.load import load_dataset, load_records
from fusionnas.data.raw import Grid, Series, Table, Tokens
from fusionnas.data.records import Records
from fusionnas.errors import DataError, MissingExtraError
from fusionnas.space import SearchSpace

N = 24


def space(folder: Path, data: str, modalities: Mapping[str, str], kind: str = "binary") -> SearchSpace:
    lines = [f"name: s\ndata: {{{data}}}\ntask: {{kind: {kind}}}\nmodalities:"]
    lines += [f"  {name}: {{{text}}}" for name, text in modalities.items()]
    file = folder / "space.yaml"
    file.write_text("\n".join([*lines, "fusion: {nodes: 1}"]))
    return SearchSpace.load(file)


def read(given: SearchSpace) -> Records:
    return load_files(given.file.data, given, given.folder).development  # type: ignore[arg-type]


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(N, 3)),
        "s": rng.normal(size=(N, 5, 2)),
        "s_mask": np.ones((N, 5), bool),
        "i": rng.integers(0, 255, (N, 8, 8), np.uint8),
        "a": rng.normal(size=(N, 6, 4)).astype(np.float32),
        "c": rng.integers(0, 5, (N, 4)),
        "t": np.array(["A good day!", "bad"] * (N // 2)),
        "label": np.array(["no", "yes"] * (N // 2)),
    }


ALL = {
    "x": "kind: vector, encoder: mlp",
    "s": "kind: timeseries, encoder: gru, columns: [hr, map]",
    "i": "kind: image, encoder: cnn",
    "a": "kind: audio, encoder: cnn",
    "c": "kind: codes, encoder: embedding",
    "t": "kind: text, encoder: embedding",
}
NPZ = "format: npz, train: d.npz, target: label"


def test_every_kind_is_read_from_npz_and_npy_alike(tmp_path: Path) -> None:
    given = arrays()
    given["s_mask"][0, 2:] = False
    np.savez(tmp_path / "d.npz", **given)
    (tmp_path / "d").mkdir()
    for name, array in given.items():
        np.save(tmp_path / "d" / f"{name}.npy", array)
    records = read(space(tmp_path, NPZ, ALL))
    other = read(space(tmp_path, "format: npy, train: d, target: label", ALL))
    assert [type(raw) for raw in records.modalities.values()] == [Table, Series, Grid, Grid, Tokens, Tokens]
    series, image, text = (records.modalities[name] for name in ("s", "i", "t"))
    assert (
        isinstance(series, Series)
        and series.variables == ("hr", "map")
        and np.diff(series.offsets)[:2].tolist() == [4, 10]
    )
    assert isinstance(image, Grid) and image.values.shape == (N, 1, 8, 8)
    assert isinstance(text, Tokens) and text.vocabulary == ("a", "good", "day", "bad")
    assert records.classes == ("no", "yes")
    assert {n: Records({n: r}, None, np.arange(N).astype(str)).digest() for n, r in records.modalities.items()} == {
        n: Records({n: r}, None, np.arange(N).astype(str)).digest() for n, r in other.modalities.items()
    }


def test_the_whole_way_from_npz_with_a_hundred_classes(tmp_path: Path) -> None:
    label = np.repeat(np.arange(100), 6)
    views = {name: np.random.default_rng(i).normal(size=(600, 64)) for i, name in enumerate("abc")}
    np.savez(tmp_path / "d.npz", label=label, **views)
    data = load_dataset(space(tmp_path, NPZ, {n: "kind: vector, encoder: mlp" for n in "abc"}, "multiclass"))
    assert data.search.signature.outputs == 100
    assert [spec.width for spec in data.search.signature.inputs.values()] == [64, 64, 64]
    assert data.preprocessing.classes[:3] == ("0", "1", "2")


def test_times_of_a_series_are_taken(tmp_path: Path) -> None:
    given = arrays()
    np.savez(tmp_path / "d.npz", **given, s_times=np.tile([0.0, 1, 2, 50, np.nan], (N, 1)))
    series = read(space(tmp_path, NPZ, {"s": ALL["s"]})).modalities["s"]
    assert isinstance(series, Series)
    assert series.times[:8].tolist() == [0, 0, 1, 1, 2, 2, 50, 50]


def told(tmp_path: Path, given: Mapping[str, Any], modalities: Mapping[str, str], data: str = NPZ) -> str:
    np.savez(tmp_path / "d.npz", **given)
    with pytest.raises(DataError) as caught:
        load_dataset(space(tmp_path, data, modalities))
    return str(caught.value)


def test_all_problems_of_the_arrays_are_told_at_once(tmp_path: Path) -> None:
    given = arrays()
    given["x"][7, 2] = np.inf
    given["s"] = given["s"][:, :, 0]
    given["i"] = np.array([{"no": 1}] * N, dtype=object)
    given["a"] = given["a"][:-1]
    given["c"] = given["c"].astype(float)
    del given["t"]
    text = told(tmp_path, given, ALL)
    assert "array 'x' row 7, column 2: infinite (1 such values); NaN means missing" in text
    assert "array 's' has shape (24, 5) and dtype float64, expected (N, T, V) numbers" in text
    assert "array 'i' cannot be read (Object arrays cannot be loaded" in text and "save numbers or texts" in text
    assert (
        "array 'c' has shape (24, 4) and dtype float64, expected (N, T) whole numbers, 0 = padding for kind codes"
        in text
    )
    assert "no input array 't'" in text


def test_lengths_labels_and_names_are_checked(tmp_path: Path) -> None:
    given = arrays()
    given["a"] = given["a"][:-1]
    given["name"] = np.array(["same"] * N)
    text = told(tmp_path, given, {"x": ALL["x"], "a": ALL["a"]}, f"{NPZ}, id: name")
    assert "lengths differ: x has 24, a has 23, target 'label' has 24" in text
    assert "1 ids appear more than once, such as 'same'" in text
    given = arrays() | {"label": np.array([0.0, np.nan] * (N // 2))}
    assert "array 'label' row 1: nan is no label or name (12 such rows)" in told(tmp_path, given, {"x": ALL["x"]})


def test_a_number_to_be_predicted_is_no_label(tmp_path: Path) -> None:
    given = {"x": np.zeros((20, 3)), "label": np.linspace(0, 9.5, 20)}
    expected = "array 'label' row 1: 0.5 is no label or name (10 such rows); expected texts or whole numbers"
    assert expected in told(tmp_path, given, {"x": ALL["x"]})


def test_data_that_are_not_there_are_told(tmp_path: Path) -> None:
    about = space(tmp_path, NPZ, {"x": ALL["x"]})
    with pytest.raises(DataError, match=r"cannot be found\n.*nowhere: no such file or folder; expected a file .npz"):
        load_dataset(about, data_path=tmp_path / "nowhere")


def test_a_text_called_npz_is_not_to_be_loaded_unsafely(tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_text("hello")
    with pytest.raises(
        DataError, match=r"d.npz: not a readable .npz file \(no zip archive\); write it with numpy.savez"
    ):
        load_dataset(space(tmp_path, NPZ, {"x": ALL["x"]}))

    given = arrays() | {"label": np.zeros(N, int)}
    assert "samples by label: '0' 24" in told(tmp_path, given, {"x": ALL["x"]})
    given = arrays() | {"label": np.arange(N) % 3}
    assert "binary needs two labels, the data have 3" in told(tmp_path, given, {"x": ALL["x"]})
    given = arrays() | {"s_mask": np.ones((3, 3), bool)}
    assert "array 's_mask' has shape (3, 3) and dtype bool, expected (24, 5, 2)" in told(
        tmp_path, given, {"s": ALL["s"]}
    )
    given = arrays() | {"s_times": -np.ones((N, 5))}
    assert "array 's_times' has shape (24, 5) and dtype float64, expected (24, 5) finite numbers >= 0" in told(
        tmp_path, given, {"s": ALL["s"]}
    )
    assert "has 3 columns, the space names 1 under columns" in told(
        tmp_path, arrays(), {"x": "kind: vector, encoder: mlp, columns: [u]"}
    )


def test_files_that_are_not_there_or_no_npz_are_named(tmp_path: Path) -> None:
    given = space(tmp_path, f"{NPZ}, test: e.npz", {"x": ALL["x"]})
    (tmp_path / "d.npz").write_text("no")
    with pytest.raises(DataError, match=r"d.npz: not a readable .npz file(.|\n)*e.npz: no such file"):
        load_dataset(given)
    with pytest.raises(DataError, match="d: no such folder"):
        load_dataset(space(tmp_path, "format: npy, train: d, target: label", {"x": ALL["x"]}))


def test_the_same_id_in_two_parts_is_refused(tmp_path: Path) -> None:
    for name, start in (("d", 0), ("e", 20)):
        np.savez(tmp_path / f"{name}.npz", x=np.zeros((N, 2)), label=np.arange(N) % 2, name=np.arange(start, start + N))
    with pytest.raises(DataError, match=r"e.npz: id '20' is also in part 'train' \(4 such samples\)"):
        load_dataset(space(tmp_path, f"{NPZ}, test: e.npz, id: name", {"x": ALL["x"]}))


CSV = "format: csv, train: d.csv, target: label, id: who"
COLUMNS = {
    "static": "kind: tabular, encoder: mlp, columns: [age, sex, stage], categorical: [stage]",
    "view": "kind: vector, encoder: mlp, columns: [f1, f2]",
    "notes": "kind: text, encoder: embedding, columns: [note]",
    "drugs": "kind: codes, encoder: embedding, columns: [drug]",
}


def rows(count: int = N) -> list[str]:
    head = "who,age,sex,stage,f1,f2,note,drug,label"
    body = [f'p{i},{30 + i},{"fm"[i % 2]},{i % 3},{i / 7},{-i},"Well, so",A1;B2,{i % 2}' for i in range(count)]
    return [head, *body]


def test_csv_and_parquet_give_the_same_records(tmp_path: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    (tmp_path / "d.csv").write_text("\n".join(rows()).replace("p3,33,m", "p3,,"))
    table = pyarrow.csv.read_csv(tmp_path / "d.csv")
    pyarrow.parquet.write_table(table, tmp_path / "d.parquet")
    records = read(space(tmp_path, CSV, COLUMNS))
    other = read(space(tmp_path, CSV.replace("csv", "parquet"), COLUMNS))
    assert records.digest() == other.digest()
    static, drugs = records.modalities["static"], records.modalities["drugs"]
    assert isinstance(static, Table) and isinstance(drugs, Tokens)
    assert static.names == ("age",) and list(static.words) == ["sex", "stage"]
    assert np.isnan(static.values[3, 0]) and static.words["sex"][3] == ""
    assert drugs.vocabulary == ("A1", "B2")
    assert records.ids[:2].tolist() == ["p0", "p1"] and records.classes == ("0", "1")


def test_problems_of_a_table_name_row_and_column(tmp_path: Path) -> None:
    text = (
        "\n".join(rows()).replace("p4,34,f", "p4,inf,f").replace(",-5,", ",five,").replace("A1;B2,0\np3", "A1;B2,\np3")
    )
    (tmp_path / "d.csv").write_text(text)
    modalities = COLUMNS | {
        "more": "kind: tabular, encoder: mlp",
        "odd": "kind: vector, encoder: mlp, columns: [f3]",
        "pic": "kind: image, encoder: cnn",
    }
    with pytest.raises(DataError) as caught:
        load_dataset(space(tmp_path, CSV, modalities))
    message = str(caught.value)
    assert "d.csv:6 column 'age': 'inf' is not a finite number" in message
    assert "d.csv:7 column 'f2': 'five' is not a finite number" in message
    assert "d.csv:4 column 'label': '' is no label (1 such rows)" in message
    assert "modalities.more.columns: a table needs to know which of its columns are 'more'" in message
    assert "no column 'f3' (modalities.odd.columns). Did you mean" in message
    assert "modalities.pic.kind: image cannot be read from a table" in message


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fusionnas\[parquet\]'"):
        load_dataset(space(tmp_path, CSV.replace("csv", "parquet"), COLUMNS))


def test_a_broken_parquet_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "d.parquet").write_text("no")
    with pytest.raises(DataError, match="d.parquet: not a readable Parquet file"):
        load_dataset(space(tmp_path, CSV.replace("csv", "parquet"), COLUMNS))


EVENTS = "format: events, train: d, target: died"
SERIES = {
    "static": "kind: tabular, encoder: mlp",
    "vitals": "kind: timeseries, encoder: gru, columns: [hr, map]",
    "diagnoses": "kind: codes, encoder: embedding, columns: [icd]",
}


def events(folder: Path, **replaced: str) -> Path:
    folder.mkdir(exist_ok=True)
    lines = ["id,time,variable,value"]
    for i in range(N):
        lines += [f"p{i},30,hr,{70 + i}", f"p{i},10,map,{60 + i}", f"p{i},5,icd,I{i % 4}"]
    tables = {
        "events": "\n".join(lines),
        "static": "\n".join(["id,age,sex", *(f"p{i},{40 + i},{'fm'[i % 2]}" for i in range(1, N))]),
        "labels": "\n".join(["id,died", *(f"p{i},{i % 2}" for i in range(N))]),
    }
    for name, text in {**tables, **replaced}.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def test_events_become_series_codes_and_a_table(tmp_path: Path) -> None:
    events(tmp_path / "d")
    records = read(space(tmp_path, EVENTS, SERIES))
    vitals, codes, static = (records.modalities[name] for name in ("vitals", "diagnoses", "static"))
    assert (
        isinstance(vitals, Series) and vitals.values[:2].tolist() == [60, 70] and vitals.times[:2].tolist() == [10, 30]
    )
    assert isinstance(codes, Tokens) and codes.vocabulary == ("I0", "I1", "I2", "I3")
    assert isinstance(static, Table) and static.names == ("age",) and list(static.words) == ["sex"]
    assert static.present.tolist() == [False] + [True] * (N - 1)
    assert records.ids[0] == "p0"
    data = load_dataset(space(tmp_path, EVENTS, SERIES))
    assert data.search.signature.inputs["vitals"].width == 8


def test_a_folder_of_events_can_be_named_on_the_command_line(tmp_path: Path) -> None:
    folder = events(tmp_path / "d")
    named = SearchSpace.parse(
        "name: s\ntask: {kind: binary, target: died}\nfusion: {nodes: 1}\n"
        "modalities: {vitals: {kind: timeseries, encoder: gru, columns: [hr]}}\n"
    )
    assert load_dataset(named, data=folder).search.signature.inputs["vitals"].width == 4
    (folder / "labels.csv").unlink()
    assert load_records(named, data=folder)[0].target is None


def test_problems_of_events_name_file_row_and_column(tmp_path: Path) -> None:
    given = space(tmp_path, EVENTS, SERIES)

    def message(**replaced: str) -> str:
        events(tmp_path / "d", **replaced)
        with pytest.raises(DataError) as caught:
            load_dataset(given)
        return str(caught.value)

    assert "events.csv:3 column 'time': '-4', expected a time >= 0" in message(
        events="id,time,variable,value\np1,1,hr,3\np1,-4,hr,3"
    )
    assert "events.csv:3 column 'value': 'high' is not a finite number" in message(
        events="id,time,variable,value\np1,1,icd,I1\np1,4,hr,high"
    )
    assert "events.csv:1: no column 'time'; it has id, when, variable, value" in message(
        events="id,when,variable,value\np1,1,hr,3"
    )
    assert "labels.csv column 'id': 'p1' appears more than once" in message(labels="id,died\np1,0\np1,1")
    assert "no column 'id'" in message(labels="patient,died\np1,0")
    assert "modalities.vitals.columns" in message(events="id,time,variable,value\np1,1,HR,3\np1,1,icd,I1")
    assert "is no label" in message(labels="id,died\np1,0\np2,")
    (tmp_path / "d" / "events.csv").unlink()
    with pytest.raises(DataError, match="no events.csv or events.csv.gz in it"):
        load_dataset(given)


def test_events_of_strangers_are_left_out_with_a_note(tmp_path: Path) -> None:
    folder = events(tmp_path / "d")
    with (folder / "events.csv").open("a") as handle:
        handle.write("\nstranger,1,hr,3")
    data = load_dataset(space(tmp_path, EVENTS, SERIES))
    assert any("events of 1 ids that are in no other table are left out" in note for note in data.description["notes"])


def test_what_is_in_no_layout_is_refused(tmp_path: Path) -> None:
    given = space(tmp_path, NPZ, {"x": ALL["x"]})
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "readme.md").write_text("")
    with pytest.raises(DataError, match=r"odd: given readme.md; expected a file .npz"):
        load_dataset(given, data=tmp_path / "odd")


def test_parts_with_different_columns_are_refused(tmp_path: Path) -> None:
    for name, width in (("d", 3), ("e", 4)):
        np.savez(tmp_path / f"{name}.npz", x=np.zeros((N, width)), label=np.arange(N) % 2)
    with pytest.raises(DataError, match="'x': column '3' is not in every part"):
        load_dataset(space(tmp_path, f"{NPZ}, select: e.npz", {"x": ALL["x"]}))
    with pytest.raises(DataError, match="has no such outcome"):
        text = "name: s\ndata: simulated_icu\ntask: {kind: binary, target: sepsis}\nfusion: {nodes: 1}\n"
        load_dataset(SearchSpace.parse(text + "modalities: {static: {kind: tabular, encoder: mlp}}\n"))
