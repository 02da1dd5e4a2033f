from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from fusionnas.errors import RunError, RunInterrupted
from fusionnas.run import Result, Run, read_file
from fusionnas.run.environment import describe, differences
from fusionnas.run.journal import Journal


@pytest.fixture
def run(tmp_path, space):
    with Run.create(tmp_path / "run", space=space, settings={"seed": 1}) as run:
        yield run


def work(calls):
    def compute(checkpoint):
        calls.append(1)
        return Result({"loss": 0.1 + 0.2, "worst": math.inf}, {"w": torch.arange(6.0).reshape(2, 3)})

    return compute


def test_a_run_is_a_folder(run):
    assert {path.name for path in run.path.iterdir()} == {
        "space.yaml", "environment.json", "journal.jsonl", "checkpoints", "lock"}  # fmt: skip
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["seed"] == 1
    assert environment["versions"]["torch"] == torch.__version__ or environment["versions"]["torch"]
    assert environment["threads"] == torch.get_num_threads()


def test_a_unit_is_computed_once_also_in_a_later_process(run, space):
    calls, told = [], []
    first = run.unit("search/heads", work(calls))
    second = run.unit("search/heads", work(calls))
    run.close()
    with Run.open(run.path, tell=told.append) as again:
        assert again.known("search/heads") and not again.known("search/other")
        third = again.unit("search/heads", work(calls))
        assert again.settings == {"seed": 1}
    assert len(calls) == 1 and told == []
    for result in (first, second, third):
        assert result.facts == {"loss": 0.1 + 0.2, "worst": math.inf}
        assert torch.equal(result.tensors["w"], torch.arange(6.0).reshape(2, 3))


def test_what_a_unit_gave_cannot_be_changed_by_its_user(run):
    run.unit("u", work([])).facts["loss"] = 7
    run.unit("u", work([])).tensors["w"].zero_()
    result = run.unit("u", work([]))
    assert result.facts["loss"] == 0.1 + 0.2
    assert result.tensors["w"].sum() == 15


@pytest.mark.parametrize("harm", ["delete", "flip", "truncate"])
def test_a_unit_with_a_damaged_file_is_computed_again_and_says_so(run, harm):
    calls, told = [], []
    run.unit("u", work(calls))
    run.close()
    file = run.path / "checkpoints" / "u.safetensors"
    data = file.read_bytes()
    file.unlink()
    if harm != "delete":
        file.write_bytes(data[:-1] + (b"" if harm == "truncate" else bytes([data[-1] ^ 1])))
    with Run.open(run.path, tell=told.append) as again:
        assert again.unit("u", work(calls)).tensors["w"].sum() == 15
        assert again.unit("u", work(calls)).tensors["w"].sum() == 15
    assert len(calls) == 2
    assert told == [f"{file} is missing or damaged; unit 'u' is computed again"]


def test_a_unit_that_fails_goes_on_from_its_checkpoint(run):
    run.save_every = 0.0
    seen = []

    def compute(checkpoint):
        state = checkpoint.load() or {"epoch": 0, "total": 0.0}
        seen.append(state["epoch"])
        while state["epoch"] < 6:
            state = {"epoch": state["epoch"] + 1, "total": state["total"] + 0.1}
            if checkpoint.due():
                checkpoint.save(state)
            if state["epoch"] == 4 and len(seen) == 1:
                raise ValueError("power cut")
        return Result({"total": state["total"]})

    with pytest.raises(ValueError, match="power cut"):
        run.unit("long", compute)
    total = 0.0
    for _ in range(6):
        total += 0.1
    assert run.unit("long", compute).facts == {"total": total}
    assert seen == [0, 4]
    assert list((run.path / "checkpoints").iterdir()) == []


def test_a_unit_that_gives_other_facts_the_second_time_is_told(run):
    told = []
    run.unit("u", lambda checkpoint: Result({"x": 1}, {"w": torch.zeros(1)}))
    run.close()
    (run.path / "checkpoints" / "u.safetensors").unlink()
    with Run.open(run.path, tell=told.append) as again:
        assert again.unit("u", lambda checkpoint: Result({"x": 2}, {"w": torch.zeros(1)})).facts == {"x": 2}
    assert told[-1] == "unit 'u' gave other facts than before; was it computed in another environment?"


def test_events_are_recorded_in_order(run):
    run.record("test_opened", samples=3)
    run.record("test_opened", samples=4)
    run.close()
    with Run.open(run.path) as again:
        assert again.recorded("test_opened") == [{"samples": 3}, {"samples": 4}]
        assert again.recorded("created") == [] and again.recorded("nothing") == []


def test_files_are_checked_against_the_journal(run):
    run.write_json("results.json", {"test": {"roc_auc": 0.75, "f1": math.nan}})
    run.write_tensors("weights.safetensors", {"w": torch.ones(2)})
    assert run.read_json("results.json") == {"test": {"roc_auc": 0.75, "f1": None}}
    assert run.read_tensors("weights.safetensors")["w"].tolist() == [1, 1]
    lines = len((run.path / "journal.jsonl").read_text().splitlines())
    run.write_tensors("weights.safetensors", {"w": torch.ones(2)})
    assert len((run.path / "journal.jsonl").read_text().splitlines()) == lines
    text = (run.path / "results.json").read_text()
    (run.path / "results.json").write_text(text.replace("0.75", "0.95"))
    with pytest.raises(RunError, match=r"results.json is missing or was changed since; `fusionnas resume .*`"):
        read_file(run.path, "results.json")
    run.seal("results.json")
    assert b"0.95" in read_file(run.path, "results.json")
    with pytest.raises(RunError, match=r"has no report.html yet: the run has not come that far"):
        read_file(run.path, "report.html")


def test_a_finished_run_with_a_damaged_file_is_not_finished(run):
    told = []
    run.write_json("results.json", {"a": 1})
    assert not run.finished
    run.finish()
    run.finish()
    assert run.finished and (run.path / "journal.jsonl").read_text().count('"finished"') == 1
    run.close()
    (run.path / "results.json").unlink()
    with Run.open(run.path, tell=told.append) as again:
        assert not again.finished
        again.write_json("results.json", {"a": 1})
        assert again.finished
    assert told == [f"{run.path / 'results.json'} is missing or was changed; it is written again"]


def test_runs_are_numbered(tmp_path, monkeypatch, space):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "toy-0007").mkdir(parents=True)
    (tmp_path / "runs" / "toy-other").mkdir()
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: Run.create(None, space=space, settings={}), range(4)))
    for run in runs:
        run.close()
    assert sorted(str(run.path) for run in runs) == [f"runs/toy-00{number:02d}" for number in (8, 9, 10, 11)]


def test_a_folder_in_use_is_refused(tmp_path, space, run):
    with pytest.raises(RunError, match=r"holds a run; `fusionnas resume .*` goes on with it, or choose"):
        Run.create(run.path, space=space, settings={})
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("")
    with pytest.raises(RunError, match="notes is not empty and holds no run; choose another --run-dir"):
        Run.create(tmp_path / "notes", space=space, settings={})
    with pytest.raises(RunError, match=r"mine.txt is a file; a run needs a folder"):
        Run.create(tmp_path / "notes" / "mine.txt", space=space, settings={})


def test_a_run_that_was_stopped_before_it_began_can_begin_in_its_folder(tmp_path, space, run):
    run.close()
    (run.path / "journal.jsonl").rename(run.path / "journal.jsonl.tmp")
    (run.path / "journal.jsonl.tmp").unlink()
    with pytest.raises(RunError, match=r"holds no run: it was stopped before it began; `fusionnas search --run-dir"):
        Run.open(run.path)
    Run.create(run.path, space=space, settings={}).close()


def test_what_is_no_run_is_told(tmp_path):
    with pytest.raises(RunError, match="nowhere is no run: there is no such folder"):
        Run.open(tmp_path / "nowhere")
    (tmp_path / "x").write_text("")
    with pytest.raises(RunError, match="is no run: it has no journal.jsonl"):
        Run.open(tmp_path)
    with pytest.raises(RunError, match="is no run: it has no journal.jsonl"):
        read_file(tmp_path, "results.json")


def test_a_changed_space_is_refused(run):
    run.close()
    (run.path / "space.yaml").write_text("name: other\n")
    with pytest.raises(RunError, match=r"space.yaml is missing or was changed after the run began; put it back"):
        Run.open(run.path)


def test_an_unknown_format_and_a_lost_first_line_are_refused(run):
    run.close()
    journal = run.path / "journal.jsonl"
    journal.write_bytes(b"")
    with pytest.raises(RunError, match="has no readable first line, so nothing can be resumed; search again"):
        Run.open(run.path)


def test_another_environment_is_told():
    now = describe({"seed": 3, "device": "cpu"})
    then = {**now, "processor": "Z80", "versions": {**now["versions"], "torch": "2.6.0"}}
    assert differences(then, now) == [
        f"processor: Z80 then, {now['processor']} now",
        f"torch: 2.6.0 then, {now['versions']['torch']} now",
    ]
    assert differences(now, now) == []


def test_a_run_that_moved_to_another_machine_says_so(run):
    run.close()
    journal = Journal(run.path / "journal.jsonl")
    entry = {key: value for key, value in journal.entries[0].items() if key not in ("seq", "at")}
    entry["environment"]["processor"] = "Z80"
    (run.path / "journal.jsonl").unlink()
    Journal(run.path / "journal.jsonl").append(entry)
    told = []
    Run.open(run.path, tell=told.append).close()
    assert "began elsewhere, numbers may differ in the last digits: processor: Z80 then" in told[0]


def test_a_torn_journal_is_told_and_leftovers_go(run):
    told = []
    run.record("a")
    run.close()
    (run.path / "checkpoints" / "u.safetensors.tmp").write_bytes(b"half")
    with open(run.path / "journal.jsonl", "ab") as file:
        file.write(b'{"seq": 2, "un')
    with Run.open(run.path, tell=told.append) as again:
        assert len(told) == 1 and "dropped 14 bytes" in told[0]
        assert not (run.path / "checkpoints" / "u.safetensors.tmp").exists()
        again.record("b")
    with Run.open(run.path, tell=told.append) as again:
        assert again.recorded("a") == [{}] and again.recorded("b") == [{}]
    assert len(told) == 1


HOLD = """
import sys
from pathlib import Path
from fusionnas.run import Run
run = Run.open(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


def test_one_process_at_a_time_and_a_dead_one_is_no_obstacle(run):
    with pytest.raises(RunError, match=r"is in use by process \d+ on .*; wait until it ends, or stop it first"):
        Run.open(run.path)
    run.close()
    command = [sys.executable, "-c", HOLD, str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(RunError, match=f"is in use by process {other.pid} on"):
            Run.open(run.path)
        other.kill()
    Run.open(run.path).close()


def test_an_interrupted_run_says_where_it_is(run):
    with pytest.raises(RunInterrupted) as caught, run:
        raise KeyboardInterrupt
    assert caught.value.path == run.path
    Run.open(run.path).close()


def test_a_moved_run_still_opens(run, tmp_path):
    run.unit("u", work([]))
    run.close()
    shutil.move(run.path, tmp_path / "moved")
    calls = []
    with Run.open(tmp_path / "moved") as again:
        again.unit("u", work(calls))
    assert calls == []
