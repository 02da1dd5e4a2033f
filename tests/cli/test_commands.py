from __future__ import annotations

import json
import subprocess
import sys

import pytest

from fusionnas.version import __version__

COMMANDS = (
    "search", "resume", "export", "evaluate", "predict", "show", "diagnose", "report", "list", "validate", "schema",
    "data", "bench",
)  # fmt: skip


def test_help_names_every_command_and_what_the_exit_status_means(fusionnas):
    result = fusionnas("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in result.stdout
    assert "Exit status: 0 done, 2 wrong input, 130 interrupted, 1 anything else." in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(fusionnas, command):
    result = fusionnas(command, "--help")
    assert result.exit_code == 0
    assert f"Usage: fusionnas {command}" in result.stdout


def test_version(fusionnas):
    assert fusionnas("--version").stdout == f"fusionnas {__version__}\n"


@pytest.mark.parametrize(
    "what",
    ["operators", "encoders", "methods", "decoders", "training", "objectives", "datasets", "diagnostics", "forms",
     "spaces", "benchmarks"],
)
def test_list_tells_the_same_to_people_and_machines(fusionnas, what):
    rows = json.loads(fusionnas("list", what, "--json").stdout)
    shown = fusionnas("list", what).stdout
    assert rows
    for row in rows:
        assert row["name"] in shown


def test_list_operators_has_formula_source_and_costs_most_homogeneous_first(fusionnas):
    rows = json.loads(fusionnas("list", "operators", "--json").stdout)
    assert {"formula", "source", "departs", "parameters", "macs", "absent", "reads", "ordered"} <= set(rows[0])
    assert [row["rank"] for row in rows] == sorted(row["rank"] for row in rows)
    gated = next(row for row in rows if row["name"] == "gated")
    assert "Arevalo" in gated["source"] and "sigmoid" in gated["formula"]
    assert (gated["rank"], gated["reads"], gated["inputs"]) == (7, "vectors", "2 or more")
    assert "  rank        7" in fusionnas("list", "operators").stdout


def test_list_spaces_finds_the_bundled_ones_from_any_folder(fusionnas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "ehr.yaml" in [row["name"] for row in json.loads(fusionnas("list", "spaces", "--json").stdout)]


def test_an_unknown_list_is_wrong_input(fusionnas):
    result = fusionnas("list", "operatrs")
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("error: 'operatrs' cannot be listed. Did you mean 'operators'? Known: benchmarks,")


def test_validate_says_what_the_space_holds(fusionnas):
    result = fusionnas("validate", "ehr.yaml")
    assert result.exit_code == 0
    assert result.stdout.endswith("no problems\n") and "3 modalities (static, vitals, labs)" in result.stdout
    facts = json.loads(fusionnas("validate", "ehr.yaml", "--json").stdout)
    assert facts["modalities"] == ["static", "vitals", "labs"] and facts["size"] > 1000


def test_validate_applies_overrides(fusionnas):
    one = json.loads(fusionnas("validate", "ehr.yaml", "--set", "fusion.nodes=1", "--json").stdout)["size"]
    two = json.loads(fusionnas("validate", "ehr.yaml", "--set", "fusion.nodes=2", "--json").stdout)["size"]
    assert one < two


def test_wrong_input_is_told_without_a_traceback(fusionnas, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text("name: bad\ntask: {kind: binray}\nmodalites: {}\n")
    result = fusionnas("validate", str(file))
    assert result.exit_code == 2 and result.stdout == ""
    assert "bad.yaml:2:" in result.stderr and "bad.yaml:3:1" in result.stderr and "Traceback" not in result.stderr


def test_an_unknown_command_is_wrong_input(fusionnas):
    result = fusionnas("serch")
    assert result.exit_code == 2 and "No such command 'serch'" in result.stderr


def test_a_folder_that_is_no_run_is_wrong_input(fusionnas, tmp_path):
    result = fusionnas("resume", str(tmp_path / "nowhere"))
    assert result.exit_code == 2
    assert "nowhere is no run: there is no such folder" in result.stderr
    for command in ("evaluate", "export", "show"):
        result = fusionnas(command, str(tmp_path / "nowhere"))
        assert result.exit_code == 2 and "nowhere" in result.stderr
    result = fusionnas("predict", str(tmp_path), "--output", str(tmp_path / "p.csv"))
    assert result.exit_code == 2 and "holds no trained network" in result.stderr


def test_the_schema_is_json_schema(fusionnas):
    schema = json.loads(fusionnas("schema").stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"name", "modalities", "fusion"} <= set(schema["properties"])


def test_data_describe_counts_each_part(fusionnas):
    report = json.loads(fusionnas("data", "describe", "simulated_icu", "--json").stdout)
    assert {name: part["samples"] for name, part in report["parts"].items()} == {
        "train": 1680, "alpha": 240, "select": 480, "test": 1600}  # fmt: skip
    shown = fusionnas("data", "describe", "ehr.yaml").stdout
    assert "samples 1680, labels survived 0.77" in shown


def test_data_get_says_where_a_set_comes_from(fusionnas):
    assert "https://physionet.org/content/challenge-2012/1.0.0/" in fusionnas("data", "get", "physionet2012").stdout
    result = fusionnas("data", "get", "physionet")
    assert result.exit_code == 2 and "'physionet' is not a data set. Did you mean 'physionet2012'?" in result.stderr


def test_an_unknown_benchmark_is_wrong_input(fusionnas):
    result = fusionnas("bench", "speeed")
    assert result.exit_code == 2 and "'speeed' is not a benchmark" in result.stderr


INTERRUPT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
from pathlib import Path
import fusionnas.api
from fusionnas.cli.main import main
from fusionnas.run import Run

name = sys.argv.pop()

def stopped(run_dir, **options):
    with Run.open(run_dir) as run:
        os.kill(os.getpid(), getattr(signal, name))
        run.safe_point()

fusionnas.api.resume = stopped
main()
"""


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGINT"])
def test_an_interrupted_run_says_how_to_go_on(tmp_path, signal):
    from fusionnas.run import Run
    from fusionnas.space import SearchSpace

    Run.create(tmp_path / "run", space=SearchSpace.load("ehr"), settings={"seed": 0}).close()
    command = [sys.executable, "-c", INTERRUPT, "resume", str(tmp_path / "run"), signal]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr.splitlines() == [
        "stopping at the next safe point, what is done is kept; once more to stop at once",
        f"interrupted; `fusionnas resume {tmp_path / 'run'}` goes on",
    ]


def test_a_reader_that_stops_early_is_no_error():
    command = f"{sys.executable} -m fusionnas list operators | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == ""
