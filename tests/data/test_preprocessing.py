import json

import numpy as np
import pytest
import torch

from fusionnas.data.base import datasets
from fusionnas.data.describe import describe
from fusionnas.data.load import load_dataset
from fusionnas.data.preprocessing import Preprocessing, view_of
from fusionnas.data.raw import Table, Tokens
from fusionnas.data.records import Records
from fusionnas.data.views import KINDS
from fusionnas.encoders.base import encoders
from fusionnas.errors import DataError
from fusionnas.space import SearchSpace
from fusionnas.space.schema import Modality

ICU = """
name: icu
task: {kind: binary, target: in_hospital_death, metric: average_precision}
modalities:
  static: {kind: tabular, encoder: mlp}
  vitals: {kind: timeseries, encoder: gru, steps: 6, columns: [MAP, HR]}
  vitals_summary: {kind: timeseries, source: vitals, encoder: summary}
  labs: {kind: timeseries, encoder: gru, view: observations, steps: 10, ranges: {pH: [7, 7.3]}}
fusion: {nodes: 1}
"""


def small(classes: tuple[str, ...] = ("no", "yes"), **modalities: object) -> Records:
    raws = modalities or {"x": Table.vectors(np.arange(8.0).reshape(4, 2))}
    return Records(raws, np.array([0, 1, 0, 1]), np.array(list("abcd")), None, classes)  # type: ignore[arg-type]


def space(kind: str = "binary", **options: object) -> SearchSpace:
    modality = {"kind": "vector", "encoder": "mlp", **options}
    text = {"name": "s", "task": {"kind": kind}, "modalities": {"x": modality}, "fusion": {"nodes": 1}}
    return SearchSpace.parse(json.dumps(text))


def test_round_trip_through_json_is_exact() -> None:
    records = datasets["simulated_icu"](SearchSpace.parse(ICU), path=None).development.take(np.arange(200))
    fitted = Preprocessing.fit(records, SearchSpace.parse(ICU))
    back = Preprocessing.from_json(json.loads(json.dumps(fitted.to_json())))
    assert back == fitted
    assert back.signature == fitted.signature
    one, two = fitted.transform(records), back.transform(records)
    for name in one:
        assert all(torch.equal(a, b) for a, b in zip(one[name], two[name], strict=True)), name


def test_options_of_the_space_change_the_input() -> None:
    dataset = load_dataset(SearchSpace.parse(ICU))
    inputs = dataset.search.signature.inputs
    assert (inputs["vitals"].tokens, inputs["vitals"].width) == (6, 8)
    assert inputs["vitals_summary"].width == 12 * 15
    assert (inputs["labs"].tokens, inputs["labs"].width) == (10, 2 + 22)
    assert any("pH" in note for note in dataset.description["notes"])
    assert dataset.search.signature.outputs == 1


def test_statistics_come_from_the_train_part_alone() -> None:
    dataset = load_dataset(SearchSpace.parse(ICU))
    numbers = dataset.search.train.inputs["static"].values[:, 0, 0]
    assert abs(float(numbers.mean())) < 1e-5 and abs(float(numbers.std(correction=0)) - 1) < 1e-5
    assert abs(float(dataset.search.select.inputs["static"].values[:, 0, 0].mean())) > 1e-4


def test_description_says_what_is_there() -> None:
    told = describe(load_dataset(SearchSpace.parse(ICU)))
    assert told["parts"]["train"]["samples"] == 1680
    assert abs(sum(told["parts"]["train"]["labels"].values()) - 1) < 1e-9
    assert 0.4 < told["inputs"]["static"]["coverage"]["Height"] < 0.65
    assert told["inputs"]["vitals"]["coverage"]["HR"] > 0.95
    assert told["inputs"]["vitals_summary"]["source"] == "vitals"
    assert told["facts"]["planted_interaction"] == ["vitals", "labs"]
    assert json.dumps(told)


@pytest.mark.parametrize("name", list(encoders))
def test_every_encoder_gets_a_view_of_each_of_its_kinds(name: str) -> None:
    for kind in encoders[name].facts.kinds:
        assert view_of(Modality.model_validate({"kind": kind, "encoder": name}), "m") in KINDS[kind]


def test_number_of_outputs_follows_the_task() -> None:
    assert Preprocessing.fit(small(), space()).signature.outputs == 1
    assert Preprocessing.fit(small(), space("multiclass")).signature.outputs == 2


def test_data_that_do_not_fit_the_space_are_told_all_at_once() -> None:
    records = small(("a", "b", "c"), y=Tokens.of([["u"]] * 4))
    with pytest.raises(DataError) as caught:
        Preprocessing.fit(records, space())
    text = str(caught.value)
    assert "modalities.x: the data have no input 'x'. Known: y." in text
    assert "task.kind: binary needs two labels, the data have 3: a, b, c" in text
    with pytest.raises(DataError, match="modalities.x.kind: the input 'x' is a tokens, which cannot be read as vector"):
        Preprocessing.fit(small(x=Tokens.of([["u"]] * 4)), space())
    with pytest.raises(DataError, match=r"modalities.x.columns: the input 'x' has no '7'. Known: 0, 1"):
        Preprocessing.fit(small(), space(columns=["0", "7"]))
    with pytest.raises(DataError, match="modalities.m.view: 'bins' is no view of kind vector; it has plain"):
        view_of(Modality.model_validate({"kind": "vector", "encoder": "mlp", "view": "bins"}), "m")


def test_records_unlike_those_of_training_are_refused() -> None:
    fitted = Preprocessing.fit(small(), space())
    with pytest.raises(DataError, match=r"x: no input 'x' of kind table in the data; it has y \(tokens\)"):
        fitted.transform(small(y=Tokens.of([["u"]] * 4)))
    with pytest.raises(DataError, match="x: column '1' is missing"):
        fitted.transform(small(x=Table.vectors(np.zeros((4, 1)))))


def test_labels_are_matched_by_name() -> None:
    fitted = Preprocessing.fit(small(("no", "yes")), space())
    assert fitted.part(small(("yes", "no"))).target.tolist() == [1, 0, 1, 0]
    unknown = Records(small().modalities, None, small().ids)
    assert fitted.part(unknown).target.tolist() == [-1] * 4
    with pytest.raises(DataError, match="label 'maybe': known labels are no, yes"):
        fitted.part(small(("no", "maybe")))
