"""The service as a client sees it: a real process on loopback, asked over HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from fusionnas.architecture import Node, Point
from fusionnas.data.load import load_dataset, load_records
from fusionnas.export.native import read_native, write_native
from fusionnas.network import build, predict
from fusionnas.space import SearchSpace
from fusionnas.training.scoring import probabilities

SPACE = """
name: stay
data: simulated_icu
task: {kind: binary, target: in_hospital_death}
modalities:
  static: {kind: tabular, encoder: mlp, levels: 1}
  vitals: {kind: timeseries, encoder: tcn, levels: 1, steps: 6}
  vitals_summary: {kind: timeseries, source: vitals, encoder: summary, levels: 1}
  labs: {kind: timeseries, encoder: tcn, levels: 1, steps: 6}
fusion: {nodes: 1, width: 4, inputs: [2, 3], operators: [mlp]}
"""
SAMPLE = {
    "static": {"Age": 71, "ICUType": "medical"},
    "vitals": [{"time": 30, "variable": "HR", "value": 88}, {"time": 400.5, "variable": "HR", "value": 97}],
}


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of an untrained network that reads two of three inputs, one in two views."""
    space = SearchSpace.parse(SPACE)
    data = load_dataset(space)
    torch.manual_seed(0)
    points = (Point("static", 1), Point("vitals", 1), Point("vitals_summary", 1))
    network = build(space, space.architecture([Node(points, "mlp")]), data.search.signature).eval()
    folder = tmp_path_factory.mktemp("stay") / "export"
    write_native(folder, network, space.to_yaml(), data.preprocessing)
    return folder


@pytest.fixture(scope="module")
def server(export: Path) -> Iterator[str]:
    """Its address."""
    command = [sys.executable, "-W", "error", "-m", "fusionnas", "serve", str(export), "--port", "0",
               "--max-samples", "50", "--max-bytes", "200000"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith("stay (native) on http://127.0.0.1:"), process.stderr.read()
        yield line.split()[3].rstrip(";")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == ""


def ask(url: str, body: bytes | None = None) -> tuple[int, Any]:
    """Status and answer, JSON where it is."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=60) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    return status, json.loads(text) if text.startswith(("{", "[")) else text


def predict_of(server: str, inputs: Any) -> tuple[int, Any]:
    return ask(f"{server}/predict", json.dumps({"inputs": inputs}).encode())


def test_it_says_what_it_is_and_what_it_wants(server: str):
    status, health = ask(f"{server}/health")
    assert status == 200 and health["status"] == "ok" and health["classes"] == ["survived", "died"]
    assert "POST /predict" in ask(f"{server}/")[1]["routes"]
    schema = ask(f"{server}/schema")[1]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(SAMPLE, schema)
    jsonschema.validate({"static": None}, schema)
    assert set(schema["properties"]) == {"static", "vitals"}  # labs are not read
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"static": {"age": 71}}, schema)


def test_a_single_sample_and_a_batch_give_the_same(server: str):
    status, single = predict_of(server, SAMPLE)
    assert status == 200
    chances = single["prediction"]["probabilities"]
    assert set(chances) == {"survived", "died"} and sum(chances.values()) == pytest.approx(1)
    assert single["prediction"]["predicted"] == max(chances, key=chances.get)
    batch = predict_of(server, [SAMPLE, {}, {"vitals": None, "static": {"Age": 30}}])[1]["predictions"]
    assert len(batch) == 3
    assert batch[0]["probabilities"]["died"] == pytest.approx(chances["died"], abs=1e-6)
    assert batch[1]["probabilities"]["died"] != pytest.approx(chances["died"], abs=1e-6)


def test_records_over_http_give_what_predict_gives(server: str, export: Path):
    model = read_native(export)
    records = load_records(model.space, own=True)[0].take(torch.arange(20).numpy())
    expected = probabilities(predict(model.network, model.preprocessing.transform(records)))
    table, series = records.modalities["static"], records.modalities["vitals"]
    samples = []
    for row in range(20):
        numbers = dict(zip(table.names, table.values[row].tolist(), strict=True))
        cells = {name: None if value != value else value for name, value in numbers.items()}
        cells |= {name: str(column[row]) or None for name, column in table.words.items()}
        seen = slice(series.offsets[row], series.offsets[row + 1])
        columns = (series.times[seen].tolist(), series.variable[seen].tolist(), series.values[seen].tolist())
        vitals = [{"time": t, "variable": series.variables[v], "value": x} for t, v, x in zip(*columns, strict=True)]
        samples.append({"static": cells, "vitals": vitals})
    found = [row["probabilities"]["died"] for part in (samples[:10], samples[10:])
             for row in predict_of(server, part)[1]["predictions"]]  # fmt: skip
    assert found == pytest.approx(expected[:, 1].tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ({"sttic": {}}, "[0].sttic: no such input. Did you mean 'static'? Known: static, vitals."),
        ([SAMPLE, 3], "[1]: given a number, expected an object with an entry per input"),
        ({"static": {"Agee": 3}}, "[0].static: no column 'Agee'. Did you mean 'Age'?"),
        ({"static": {"Age": "old"}}, "[0].static.Age: given a text, expected a finite number or null"),
        ({"static": {"Age": True}}, "[0].static.Age: given true or false, expected a finite number or null"),
        ({"static": {"ICUType": [1]}}, "[0].static.ICUType: given a list, expected a text or null"),
        ({"static": [1, 2]}, "[0].static: given a list, expected an object with an entry per column"),
        ({"vitals": {"HR": 3}}, "[0].vitals: given an object, expected a list of observations"),
        ({"vitals": [[1, "HR", 3]]}, "[0].vitals[0]: expected an object with time, variable and value"),
        ({"vitals": [{"time": -1, "variable": "HR", "value": 3}]}, "[0].vitals[0].time: expected a number from 0 up"),
        ({"vitals": [{"time": 1, "variable": "HRR", "value": 3}]}, "[0].vitals[0].variable: no variable 'HRR'."),
        ([], "inputs: give one sample, or a list of them"),
        ([{}] * 51, "inputs: given 51, expected 1 to 50"),
        ("x", "[0]: given a text, expected an object"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_place(server: str, inputs: Any, problem: str):
    status, answer = predict_of(server, inputs)
    assert status == 422 and answer["count"] == len(answer["problems"]) == 1
    assert answer["problems"][0].startswith(problem)


def test_all_problems_come_at_once_and_no_more_than_twenty(server: str):
    status, answer = predict_of(server, [{"static": {"Age": "old", "ICUType": 1.5}}] * 15)
    assert (status, answer["count"], len(answer["problems"])) == (422, 30, 20)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"not json", 400, "the body is not JSON: "),
        (b'{"inputs": {"static": {"Age": NaN}}}', 400, "the body is not JSON: NaN is no JSON number; use null"),
        (b"[1]", 400, 'expected {"inputs": SAMPLE}'),
        (b'{"inputs": {}, "more": 1}', 400, 'expected {"inputs": SAMPLE}'),
        (b'{"inputs": "' + b"x" * 200_000 + b'"}', 413, "the body is larger than 200,000 bytes"),
        (b"[" * 100_000, 400, "the body is not JSON: "),
    ],
    ids=["text", "nan", "list", "more", "large", "deep"],
)
def test_bad_requests_get_a_clear_answer(server: str, body: bytes, status: int, error: str):
    found, answer = ask(f"{server}/predict", body)
    assert found == status and answer["error"].startswith(error)


def test_unknown_routes_and_methods_are_refused(server: str):
    assert ask(f"{server}/nothing")[0] == 404 and ask(f"{server}/predict")[0] == 405


def test_requests_at_a_time_are_answered_each(server: str):
    ages = [20 + i for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda age: predict_of(server, {"static": {"Age": age}}), ages))
    alone = [predict_of(server, {"static": {"Age": age}}) for age in ages]
    assert [status for status, _ in answers] == [200] * 16 and answers == alone


def test_metrics_count_what_was_asked(server: str):
    def count(name: str) -> float:
        text = ask(f"{server}/metrics")[1]
        return float(next((line.split()[-1] for line in text.splitlines() if line.startswith(f"{name} ")), "0"))

    names = ('fusionnas_requests_total{status="200"}', 'fusionnas_requests_total{status="422"}',
             "fusionnas_samples_total", 'fusionnas_prediction_seconds_bucket{le="+Inf"}')  # fmt: skip
    before = [count(name) for name in names]
    predict_of(server, [SAMPLE] * 3)
    predict_of(server, {"no": 1})
    assert [count(name) - old for name, old in zip(names, before, strict=True)] == [1, 1, 3, 1]


def test_an_address_that_is_taken_is_told(server: str, export: Path):
    port = server.rpartition(":")[2]
    command = [sys.executable, "-m", "fusionnas", "serve", str(export), "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another --host or --port" in done.stderr
