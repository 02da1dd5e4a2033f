from pathlib import Path

import numpy as np
import pytest

from fusionnas.data.base import Cohort, datasets
from fusionnas.data.load import load_dataset, load_part, load_records
from fusionnas.errors import DataError
from fusionnas.space import SearchSpace

SPACE = """
name: tiny
data: {{format: npz, train: {train}, target: y{more}}}
task: {{kind: binary, target: y}}
modalities:
  x: {{kind: vector, encoder: mlp}}
fusion: {{nodes: 1}}
"""


def write(path: Path, size: int = 60, *, seed: int = 0, **more: np.ndarray) -> Path:
    rng = np.random.default_rng(seed)
    np.savez(path, **{"x": rng.normal(size=(size, 3)), "y": np.tile([0, 1], size // 2), **more})
    return path


def space(folder: Path, train: str = "train.npz", more: str = "") -> SearchSpace:
    file = folder / "space.yaml"
    file.write_text(SPACE.format(train=train, more=more))
    return SearchSpace.load(file)


def test_parts_that_are_not_given_are_split_off(tmp_path: Path) -> None:
    write(tmp_path / "train.npz")
    data = load_dataset(space(tmp_path))
    sizes = [len(data.search.train), len(data.search.alpha), len(data.search.select), data.test.size]
    assert sizes == [34, 4, 10, 12]
    opened: list[int] = []
    test = data.test.open(lambda: opened.append(1))
    ids = np.concatenate([data.search.all().ids, test.ids])
    assert len(set(ids)) == 60 and opened == [1]
    assert data.description["counts"]["test"] == {"0": 6, "1": 6}


def test_the_test_part_does_not_depend_on_the_seed_and_is_found_again(tmp_path: Path) -> None:
    write(tmp_path / "train.npz")
    one, two = (load_dataset(space(tmp_path), seed=seed) for seed in (0, 1))
    ids = one.test.open(lambda: None).ids.tolist()
    assert ids == two.test.open(lambda: None).ids.tolist()
    assert one.search.alpha.ids.tolist() != two.search.alpha.ids.tolist()
    assert load_dataset(space(tmp_path), seed=0).search.alpha.ids.tolist() == one.search.alpha.ids.tolist()
    records, which = load_records(space(tmp_path))
    assert records.ids.tolist() == ids and which == "test"
    assert load_part(one.preprocessing, records).target.tolist() == one.test.open(lambda: None).target.tolist()


def test_given_parts_are_kept(tmp_path: Path) -> None:
    for i, name in enumerate(("train", "select", "test")):
        write(tmp_path / f"{name}.npz", 20 + 10 * i, seed=i)
    data = load_dataset(space(tmp_path, more=", select: select.npz, test: test.npz"))
    assert [len(data.search.train), len(data.search.alpha), len(data.search.select), data.test.size] == [18, 2, 30, 40]
    assert set(data.search.select.ids) == {f"select.npz:{i}" for i in range(30)}


def test_given_select_without_test_is_not_split(tmp_path: Path) -> None:
    write(tmp_path / "train.npz", 60)
    write(tmp_path / "select.npz", 20, seed=1)
    data = load_dataset(space(tmp_path, more=", select: select.npz"))
    assert [len(data.search.select), data.test.size] == [20, 12]
    assert all(name.startswith("select") for name in data.search.select.ids)


def test_a_folder_of_parts_replaces_the_data_of_the_space(tmp_path: Path) -> None:
    write(tmp_path / "train.npz")
    other = tmp_path / "other"
    other.mkdir()
    write(other / "train.npz", 40, seed=3)
    write(other / "test.npz", 22, seed=4)
    data = load_dataset(space(tmp_path), data=other)
    assert data.test.size == 22
    assert len(load_records(space(tmp_path), data=other / "train.npz")[0]) == 40


def test_unlabelled_files_can_be_predicted_but_not_trained_on(tmp_path: Path) -> None:
    write(tmp_path / "train.npz")
    np.savez(tmp_path / "new.npz", x=np.zeros((5, 3)))
    records, which = load_records(space(tmp_path), data=tmp_path / "new.npz")
    assert records.target is None and which == "all"
    part = load_part(load_dataset(space(tmp_path)).preprocessing, records)
    assert part.target.tolist() == [-1] * 5
    with pytest.raises(DataError, match="no target array 'y'"):
        load_dataset(space(tmp_path), data=tmp_path / "new.npz")


def test_groups_stay_together(tmp_path: Path) -> None:
    write(tmp_path / "train.npz", 80, who=np.repeat(np.arange(20), 4))
    data = load_dataset(space(tmp_path, more=", group: who"))
    test = data.test.open(lambda: None)
    owner = {f"train.npz:{i}": i // 4 for i in range(80)}
    parts = [data.search.train, data.search.alpha, data.search.select, test]
    owners = [{owner[name] for name in part.ids} for part in parts]
    assert sum(map(len, owners)) == 20


def test_groups_that_cross_given_parts_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.npz", 40, who=np.repeat(np.arange(20), 2))
    write(tmp_path / "test.npz", 20, who=np.repeat(np.arange(19, 29), 2))
    with pytest.raises(DataError, match="group '19' is in part '(train|alpha|select)' and in part 'test'"):
        load_dataset(space(tmp_path, more=", test: test.npz, group: who"))


def test_a_part_with_one_label_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.npz", 40)
    np.savez(tmp_path / "test.npz", x=np.zeros((5, 3)), y=np.ones(5, int))
    with pytest.raises(DataError, match=r"part 'test' \(5 samples\) has only label '1'"):
        load_dataset(space(tmp_path, more=", test: test.npz"))


def test_unknown_data_are_named_with_a_suggestion(tmp_path: Path) -> None:
    write(tmp_path / "train.npz")
    with pytest.raises(
        DataError, match="neither a registered data set nor a file or folder. Did you mean 'simulated_icu'?"
    ):
        load_dataset(space(tmp_path), data="simulated_icux")


def test_real_sets_are_kept_apart(real_data: Path) -> None:
    text = "name: s\ndata: physionet2012\ntask: {kind: binary, target: in_hospital_death}\n"
    text += "modalities: {static: {kind: tabular, encoder: mlp}}\nfusion: {nodes: 1}\n"
    data = load_dataset(SearchSpace.parse(text), data_path=real_data)
    assert len(data.search.all()) == 4000 and data.test.size == 4000
    assert data.description["sets"] == ["a", "b"]
    one, _ = load_records(SearchSpace.parse(text), data_path=real_data / "set_b")
    assert one.ids.tolist() == data.test.open(lambda: None).ids.tolist()


def test_sources_may_fix_parts_and_plug_ins_register_them(tmp_path: Path) -> None:
    cohort = datasets["simulated_icu"](space(tmp_path), path=None)
    parts = {"select": np.arange(100)}

    def fixed(space: SearchSpace, *, path: Path | None) -> Cohort:
        return Cohort(cohort.development, cohort.test, parts, {"source": "fixed"}, {})

    datasets.register("fixed_for_this_test")(fixed)
    text = "name: s\ndata: fixed_for_this_test\ntask: {kind: binary, target: in_hospital_death}\n"
    text += "modalities: {static: {kind: tabular, encoder: mlp}}\nfusion: {nodes: 1}\n"
    data = load_dataset(SearchSpace.parse(text))
    assert data.search.select.ids.tolist() == cohort.development.ids[:100].tolist()
    assert len(data.search.all()) == 2400


def test_the_plug_in_of_the_documentation_works(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "data.md"
    code = page.read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "my_data.py").write_text(code)
    text = "name: s\nplugins: [my_data.py]\ndata: my_data\ntask: {kind: binary, target: sepsis}\n"
    text += "modalities: {static: {kind: tabular, encoder: mlp}, vitals: {kind: timeseries, encoder: gru}}\n"
    (tmp_path / "space.yaml").write_text(text + "fusion: {nodes: 1}\n")
    data = load_dataset(SearchSpace.load(tmp_path / "space.yaml"))
    assert [len(data.search.all()), data.test.size] == [80, 20]
