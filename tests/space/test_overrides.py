"""Values of the command line go through the same validation as the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusionnas.errors import SpaceError
from fusionnas.space import SearchSpace


def test_values_are_yaml(base):
    overrides = [
        "fusion.width=64",
        "search.rungs=[2,3]",
        "modalities.vitals.encoder=gru",
        "training.learning_rate=1e-4",
        "task={kind: multiclass, metric: accuracy}",
        "modalities.labs={kind: timeseries, encoder: tcn}",
    ]
    file = SearchSpace.parse(base, overrides=overrides).file
    assert file.fusion.width == 64
    assert file.search.rungs == (2, 3)
    assert file.search.seeds == 1
    assert file.modalities["vitals"].encoder == ("gru",)
    assert file.modalities["vitals"].levels == 2
    assert file.training.learning_rate == 1e-4
    assert file.task.metric == "accuracy"
    assert list(file.modalities) == ["static", "vitals", "labs"]


def test_items_of_lists_are_set_by_index(base):
    space = SearchSpace.parse(base, overrides=["modalities.vitals.encoder.1=attention", "fusion.inputs.1=4"])
    assert space.file.modalities["vitals"].encoder == ("gru", "attention")
    assert space.file.fusion.inputs == (2, 4)


def test_the_last_value_holds_and_heals_the_file(base):
    broken = base.replace("levels: 2", "levels: 010")
    space = SearchSpace.parse(broken, overrides=["modalities.vitals.levels=3", "modalities.vitals.levels=1"])
    assert space.file.modalities["vitals"].levels == 1


def test_an_empty_value_is_nothing(base):
    text = base.replace("levels: 1", "levels: 1, view: plain")
    assert SearchSpace.parse(text, overrides=["modalities.static.view="]).file.modalities["static"].view is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fusion.widht=3", "--set fusion.widht=3 fusion.widht: unknown key (did you mean 'width'?)"),
        ("fusoin.width=3", "--set fusoin.width=3 fusoin: unknown key (did you mean 'fusion'?)"),
        ("fusion.width=1", "--set fusion.width=1 fusion.width: given 1, expected at least 2"),
        (
            "fusion.operators=[gatd]",
            "--set fusion.operators=[gatd] fusion.operators[0]: 'gatd' is not a fusion operator",
        ),
        ("fusion.width", "--set fusion.width: expected a.b=value, such as fusion.nodes=3"),
        ("=3", "--set =3: expected a.b=value, such as fusion.nodes=3"),
        ("a..b=3", "--set a..b=3: expected a.b=value, such as fusion.nodes=3"),
        ("fusion.width=[", "--set fusion.width=[ fusion.width: not valid YAML: expected the node content"),
        ("fusion.width=012", "--set fusion.width=012 fusion.width: 012 is read as the number 10 by YAML; write 12"),
        ("task={kind: binary, kind: binary}", "task.kind: given twice; keep one"),
        ("name.first=x", "name.first: name is 'base', which has no part 'first'; set name as a whole"),
        ("fusion.inputs.2=x", "fusion.inputs.2: fusion.inputs is a list; '2' is not an index 0..1 of it"),
        ("fusion.inputs.low=2", "fusion.inputs is a list; 'low' is not an index 0..1 of it"),
        ("modalities.labs.kind=text", "--set modalities.labs.kind=text modalities.labs.encoder: is needed"),
    ],
)
def test_mistakes_name_the_override(base, override, message):
    with pytest.raises(SpaceError) as caught:
        SearchSpace.parse(base, overrides=[override])
    (found,) = caught.value.problems
    assert message in found


def test_paths_of_overrides_start_where_the_command_runs(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = base.replace("simulated_icu", "{format: npz, train: data/train.npz, target: y}")
    data = SearchSpace.parse(text, folder=Path("/spaces"), overrides=["data.test=test.npz"]).file.data
    assert data.train == "/spaces/data/train.npz"
    assert data.test == str(tmp_path / "test.npz")


def test_an_override_can_complete_an_unfinished_file(base):
    text = base.replace("task: {kind: binary, metric: roc_auc}\n", "")
    assert SearchSpace.parse(text, overrides=["task.kind=binary"]).file.task.kind == "binary"
