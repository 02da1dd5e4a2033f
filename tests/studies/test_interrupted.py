"""Studies as commands: Ctrl-C, `fusionnas stop` and kill -9, here and by Ray Tune; trials that kill their workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fusionnas.bench.victims import write_space
from fusionnas.run.journal import Journal
from tests.studies.test_studies import QUICK

pytestmark = pytest.mark.slow

RANGES = "study: {training.learning_rate: {low: 0.001, high: 0.1, log: true}, seed: [0, 1]}"
RAY = ("--ray", "local", "--workers", "2")
PATIENCE = 240
"""Seconds after which a command hangs."""


class Command:
    """A ``fusionnas`` command in a process group of its own, as in a terminal."""

    def __init__(self, folder: Path, *words: str) -> None:
        program = [sys.executable, "-c", "from fusionnas.cli.main import main; main()", *words]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        (folder / "tmp").mkdir(exist_ok=True)
        environment = {**kept, "HOME": str(folder), "TMPDIR": str(folder / "tmp")}
        self.process = subprocess.Popen(
            program, cwd=folder, env=environment, start_new_session=True, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def end(self) -> tuple[int, str, str]:
        """Status, and what it said."""
        try:
            said = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            raise
        return self.process.returncode, *said

    def until(self, run: Path, units: int) -> Command:
        """Wait until the journal has so many units."""
        end = time.monotonic() + PATIENCE
        while sum(named(run).values()) < units:
            assert self.process.poll() is None, self.end()
            assert time.monotonic() < end, "nothing happens"
            time.sleep(0.1)
        return self


def named(run: Path) -> Counter[str]:
    """The units in a journal that somebody else writes, each as often as it is there."""
    file = run / "journal.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return Counter(line.split('"unit": "')[1].split('"')[0] for line in lines if '"unit": "' in line)


def write(folder: Path, ranges: str = RANGES, epochs: int = 9) -> tuple[str, ...]:
    """The search command of a small study."""
    file = write_space(folder)
    file.write_text(f"{file.read_text()}{ranges}\n")
    settings = [word for setting in [*QUICK, f"training.epochs={epochs}"] for word in ("--set", setting)]
    return ("search", "--space", str(file), "--run-dir", "study", *settings)


def events(run: Path, name: str) -> list[dict[str, Any]]:
    return [e["facts"] for e in Journal(run / "journal.jsonl").events if e.get("event") == name]


def told(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "study" / "study.json").read_text())


HERE = ("--trials", "3", "--scheduler", "asha", "--workers", "2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole")
    assert Command(folder, *write(folder), *HERE).end()[0] == 0
    return told(folder)


@pytest.mark.parametrize("way", ["Ctrl-C", "stop"])
def test_stopped_on_this_machine_it_goes_on_to_the_same_end(tmp_path: Path, whole: dict[str, Any], way: str) -> None:
    run = tmp_path / "study"
    stop(Command(tmp_path, *write(tmp_path), *HERE).until(run, 2), tmp_path, way)
    before = named(run)
    assert not (run / "stop").exists() and 2 <= sum(before.values()) < 5
    assert Command(tmp_path, "resume", "study", "--workers", "2").end()[0] == 0
    assert before <= named(run) and set(named(run).values()) == {1}
    assert (told(tmp_path)["trials"], told(tmp_path)["best"]) == (whole["trials"], whole["best"])


def stop(command: Command, folder: Path, way: str) -> None:
    """End a study gracefully."""
    if way == "stop":
        assert Command(folder, "stop", "study").end()[0] == 0
    else:
        os.killpg(command.process.pid, signal.SIGINT)  # as a terminal does: to all its processes
    status, _, said = command.end()
    assert status == 130 and "`fusionnas resume study` goes on" in said, said
    assert "Traceback" not in said


def test_on_a_cluster_it_is_stopped_and_resumed_and_what_has_ended_is_not_done_again(tmp_path: Path) -> None:
    search, run = write(tmp_path), tmp_path / "study"
    command = Command(tmp_path, *search, "--trials", "3", "--scheduler", "asha", *RAY).until(run, 1)
    stop(command, tmp_path, "Ctrl-C")
    first = named(run)
    left = events(run, "left")
    status, _, said = Command(tmp_path, "resume", "study", "--workers", "2").end()
    assert status == 2 and "fusionnas resume study --ray local" in said
    status, shown, said = Command(tmp_path, "resume", "study", *RAY).end()
    assert status == 0 and "loss on select" in shown, said
    assert first <= named(run) and set(named(run).values()) == {1}
    check(tmp_path, trials=3)
    assert all(len(told(tmp_path)["trials"][facts["trial"]]["rungs"]) < 3 for facts in left)
    assert not {"WARNING", "Traceback", "ray::"} & set(said.split())


def test_a_killed_driver_and_a_trial_that_kills_its_workers_cost_only_themselves(tmp_path: Path) -> None:
    (tmp_path / "poison.py").write_text(POISON)
    ranges = "plugins: [poison.py]\nstudy: {fusion.operators: ['[mlp]', '[poison]']}"
    search, run = write(tmp_path, ranges, 2), tmp_path / "study"
    command = Command(tmp_path, *search, "--trials", "3", "--sampler", "random", "--seed", "2", *RAY).until(run, 1)
    command.process.kill()
    command.end()
    assert events(run, "proposed")
    status, _, said = Command(tmp_path, "resume", "study", *RAY).end()
    assert status == 0, said
    check(tmp_path, trials=3)
    assert set(named(run).values()) == {1}
    rows = told(tmp_path)["trials"]
    poisoned = [row for row in rows if row["values"]["fusion.operators"] == "[poison]"]
    assert 0 < len(poisoned) < 3
    assert all("took its worker process down 3 times" in row["failed"] for row in poisoned)
    assert all("loss" in row for row in rows if row not in poisoned)


def check(folder: Path, trials: int) -> None:
    """Every trial is told, its values are those that were journaled before, and nothing of Ray is left."""
    rows, proposed = told(folder)["trials"], events(folder / "study", "proposed")
    assert [row["number"] for row in rows] == list(range(trials))
    assert {f["trial"]: f["values"] for f in proposed} == {row["number"]: row["values"] for row in rows}
    assert len(proposed) == trials
    assert not (folder / "study" / "tune").exists() and not (folder / "ray_results").exists()
    assert list((folder / "tmp").glob("fusionnas-*")) == [] and not (folder / ".ray").exists()


POISON = """
import os
from fusionnas.operators.base import register_operator
from fusionnas.operators.mlp import Mlp


@register_operator("poison")
class Poison(Mlp):
    def forward(self, *arguments, **options):
        os.kill(os.getpid(), 9)
"""
