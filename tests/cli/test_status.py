"""``status``, ``watch`` and ``stop``, from another terminal than the one where the search runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fusionnas.cli.status import duration, lines
from fusionnas.errors import RunError
from fusionnas.execution import InlineExecutor
from fusionnas.run import Result, Run
from fusionnas.run.progress import QuietProgress
from fusionnas.run.published import PublishedProgress
from fusionnas.run.status import read_status
from fusionnas.space import SearchSpace
from fusionnas.stopping import best_asked, stop_asked
from tests.test_whole_way import write_toy

FUSIONNAS = (sys.executable, "-c", "from fusionnas.cli.main import main; main()")


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*FUSIONNAS, *map(str, words)], capture_output=True, text=True, check=False)


@pytest.fixture
def run(tmp_path: Path):
    with Run.create(tmp_path / "run", space=SearchSpace.load("ehr"), settings={}) as opened:
        yield opened


def test_a_run_at_work_tells_its_stage_its_workers_and_what_failed(run: Run) -> None:
    progress = PublishedProgress(QuietProgress(stages=False), run.path, InlineExecutor())
    run.keep("search/supernet", Result({}))
    run.keep("retrain/3f2a/0", Result({"failed": "took longer than its limit of 3 s", "kind": "time", "traceback": ""}))
    progress.stage("retrain finalists", 4)
    progress.advance({"trained": "mlp(a, b)"})
    progress.message("one was lost")
    found = read_status(run.path)
    assert (found.state, found.stage, found.done, found.total, found.units) == ("running", "retrain finalists", 1, 4, 2)
    assert found.seconds_left is not None and found.workers == 1
    text = "\n".join(lines(found))
    assert "stage       retrain finalists  1 of 4  trained mlp(a, b)\n" in text
    assert "failed      retrain/3f2a/0: took longer than its limit of 3 s" in text
    assert "message     one was lost" in text and "left" in text


def test_nothing_that_is_published_can_break_the_look_at_a_run(run: Run) -> None:
    for content in ("", "{", "[]", '{"stage": 3}', "\x00\xff"):
        (run.path / "progress.json").write_text(content)
        assert read_status(run.path).state == "running"
        assert read_status(run.path).stage == ""


def test_a_run_that_nobody_works_on_can_be_looked_at_but_not_stopped(tmp_path: Path) -> None:
    Run.create(tmp_path / "run", space=SearchSpace.load("ehr"), settings={}).close()
    seen = command("status", tmp_path / "run", "--json")
    assert seen.returncode == 0 and json.loads(seen.stdout)["state"] == "stopped"
    assert command("watch", tmp_path / "run").stdout == "stopped  0 units\n"
    refused = command("stop", tmp_path / "run")
    assert refused.returncode == 2
    assert refused.stderr == (
        f"error: nobody works on {tmp_path / 'run'}; `fusionnas resume {tmp_path / 'run'}` goes on with it\n"
    )
    with pytest.raises(RunError, match="is no run: there is no such folder"):
        read_status(tmp_path / "nothing")


def test_the_best_so_far_can_be_asked_for_while_somebody_works_on_the_run(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", space=SearchSpace.load("ehr"), settings={}) as run:
        told = command("stop", run.path, "--take-best")
        assert told.returncode == 0 and "ends at its next decision; the best so far" in told.stdout
        assert best_asked(run.path) and not stop_asked(run.path)
    assert not best_asked(run.path)


@pytest.mark.slow
def test_a_search_stopped_from_elsewhere_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    space = write_toy(tmp_path)
    search = [*FUSIONNAS, "search", "--space", str(space), "--set", "training.epochs=40", "--workers", "2", "--run-dir"]
    subprocess.run([*search, str(tmp_path / "whole")], check=True, capture_output=True)
    path = tmp_path / "run"
    with subprocess.Popen([*search, str(path)], stdout=-1, stderr=-1, text=True) as process:
        while "retrain" not in process.stderr.readline():
            pass
        told = command("stop", path)
        assert told.returncode == 0 and "stops at its next safe point" in told.stdout
        followed = command("watch", path)
        process.communicate(timeout=120)
    assert process.returncode == 130
    assert followed.stdout.splitlines()[-1].startswith("stopped  ")
    resumed = command("resume", path, "--workers", "1")
    assert resumed.returncode == 0, resumed.stderr
    for name in ("architecture.json", "weights.safetensors", "preprocessing.json"):
        assert (path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    seen = read_status(path)
    assert (seen.state, seen.test_opened) == ("finished", 1)
    assert command("stop", path).stderr == f"error: {path} is finished, there is nothing to stop\n"


@pytest.mark.parametrize(("seconds", "words"), [(40, "40 s"), (720, "12 min"), (12600, "3.5 h")])
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
