"""Kill a run at any moment, damage its files, fill its disk: it ends as if nothing had happened, or says why not."""

from __future__ import annotations

import errno
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from fusionnas.errors import DiskError, RunError
from fusionnas.run import Result, Run
from fusionnas.run.files import explained, write_atomic

PROGRAM = Path(__file__).with_name("program.py")
OUTCOME = ("results.json", "weights.safetensors")


def outcome(path: Path) -> list[bytes]:
    return [(path / name).read_bytes() for name in OUTCOME]


def start(path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(PROGRAM), str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def run_to_end(path: Path) -> str:
    with start(path) as process:
        lines = process.stdout.read().decode().splitlines()
    assert process.returncode == 0
    return lines[-1]


@pytest.mark.slow
def test_killed_at_twenty_random_moments_a_run_ends_the_same(tmp_path):
    """As a program: kill -9, start again, kill -9, ... until 24 kills hit it at work; then let it end."""
    began = time.monotonic()
    undisturbed = run_to_end(tmp_path / "whole")
    assert len(set(json.loads((tmp_path / "whole" / "results.json").read_text())["means"])) == 12
    moments = random.Random(2012)
    kills, path = 0, tmp_path / "killed-0"
    finished = 0
    while kills < 24:
        with start(path) as process:
            process.stdout.readline()
            try:
                process.wait(moments.uniform(0, 0.25))
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
        if process.returncode == 0:
            assert outcome(path) == outcome(tmp_path / "whole")
            finished += 1
            path = tmp_path / f"killed-{finished}"
    assert run_to_end(path) == undisturbed
    assert outcome(path) == outcome(tmp_path / "whole")
    assert time.monotonic() - began < 600


def small(run: Run) -> None:
    """Two chained units, an event and the files of a finished run."""
    weights = torch.zeros(4)
    for seed in range(3):

        def compute(checkpoint, seed=seed, weights=weights):
            state = checkpoint.load() or {"epoch": 0, "weights": weights}
            while state["epoch"] < 3:
                state = {"epoch": state["epoch"] + 1, "weights": (state["weights"] + seed + 0.1).sin()}
                checkpoint.save(state)
            return Result({"sum": float(state["weights"].sum())}, {"weights": state["weights"]})

        weights = run.unit(f"train/{seed}", compute).tensors["weights"]
    run.write_json("results.json", {"sum": float(weights.sum())})
    run.write_tensors("weights.safetensors", {"weights": weights})
    run.finish()


def finished(path: Path, space: object) -> list[bytes]:
    with Run.create(path, space=space, settings={}) as run:
        small(run)
    return outcome(path)


def test_a_journal_cut_at_any_byte_ends_the_same(tmp_path, space):
    whole = finished(tmp_path / "run", space)
    journal = (tmp_path / "run" / "journal.jsonl").read_bytes()
    first = len(journal.splitlines(keepends=True)[0])
    for length in range(first, len(journal), 37):
        (tmp_path / "run" / "journal.jsonl").write_bytes(journal[:length])
        with Run.open(tmp_path / "run", tell=lambda text: None) as run:
            small(run)
        assert outcome(tmp_path / "run") == whole, length


def test_any_damaged_file_costs_work_or_is_told_but_never_gives_another_result(tmp_path, space):
    whole = finished(tmp_path / "run", space)
    # A state file of a unit under way, as a kill leaves it.
    states = tmp_path / "run" / "checkpoints" / "train" / "2.state"
    with Run.open(tmp_path / "run") as run, pytest.raises(ValueError, match="stop"):
        run.unit("extra", save_and_stop)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert any(path.suffix == ".pt" for path in files) and not states.exists()
    dice = random.Random(7)
    for trial in range(120):
        path = tmp_path / "damaged"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(tmp_path / "run", path)
        damage(path / files[trial % len(files)].relative_to(tmp_path / "run"), dice)
        try:
            with Run.open(path, tell=lambda text: None) as run:
                if not run.finished:
                    small(run)
        except RunError as error:
            assert str(path) in str(error)
        else:
            assert outcome(path) == whole


def save_and_stop(checkpoint):
    checkpoint.save({"weights": torch.ones(3)})
    raise ValueError("stop")


def damage(file: Path, dice: random.Random) -> None:
    data = bytearray(file.read_bytes())
    if dice.random() < 0.4 or not data:
        data = data[: dice.randrange(len(data) + 1)]
    else:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    file.write_bytes(data)


FULL = """
import resource, sys
from pathlib import Path
import torch
from fusionnas.errors import DiskError
from fusionnas.run import Result, Run
path, limit, kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
with Run.open(path) as run:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        if kind == "tensors":
            run.unit("big", lambda checkpoint: Result({}, {"w": torch.zeros(20000)}))
        elif kind == "state":
            run.unit("big", lambda checkpoint: checkpoint.save({"w": torch.zeros(20000)}))
        else:
            run.unit("big", lambda checkpoint: Result({"history": [0.1] * 20000}))
    except DiskError as error:
        print(error)
        sys.exit(2)
"""


@pytest.mark.parametrize("kind", ["tensors", "state", "journal"])
def test_a_full_disk_loses_nothing_that_was_journaled(tmp_path, space, kind):
    with Run.create(tmp_path / "run", space=space, settings={}) as run:
        run.unit("small", lambda checkpoint: Result({"x": 0.1}, {"w": torch.ones(3)}))
    before = (tmp_path / "run" / "journal.jsonl").read_bytes()
    command = [sys.executable, "-c", FULL, str(tmp_path / "run"), str(20_000), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "the file size limit is reached" in done.stdout
    assert "all that was journaled before is kept" in done.stdout and "fusionnas resume" in done.stdout
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() == before
    assert not list((tmp_path / "run").rglob("*.tmp"))
    with Run.open(tmp_path / "run", tell=pytest.fail) as run:
        kept = run.unit("small", lambda checkpoint: pytest.fail("was journaled"))
        assert kept.facts == {"x": 0.1}
        assert run.unit("big", lambda checkpoint: Result({"x": 1})).facts == {"x": 1}


def test_no_space_left_is_told(tmp_path):
    told = "cannot write .*x.json: the disk is full\n.*free some space"
    with pytest.raises(DiskError, match=told), explained(tmp_path / "x.json"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_without_the_right_to_write_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write .*x.json: (Not a directory|File exists)"):
        write_atomic(tmp_path / "file" / "x.json", b"{}")
