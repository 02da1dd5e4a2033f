"""A run that is asked to stop saves its state, leaves, and goes on from there."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fusionnas.errors import RunInterrupted, Stopped
from fusionnas.execution import Call, InlineExecutor, completed
from fusionnas.run import Checkpoint, Result, Run
from fusionnas.stopping import ask_to_stop, stop_asked


def long_unit(run: Run, seen: list[int], *, stop_at: int | None = None):
    def compute(checkpoint: Checkpoint) -> Result:
        state = checkpoint.load() or {"epoch": 0}
        seen.append(state["epoch"])
        while state["epoch"] < 6:
            state["epoch"] += 1
            if state["epoch"] == stop_at:
                ask_to_stop(run.path)
            if checkpoint.due():
                checkpoint.save(state)
        return Result({"epochs": state["epoch"]})

    return compute


def test_a_unit_saves_and_leaves_and_goes_on_from_there(tmp_path, space):
    seen: list[int] = []
    with pytest.raises(RunInterrupted), Run.create(tmp_path / "run", space=space, settings={}) as run:
        run.unit("long", long_unit(run, seen, stop_at=4))
    assert not stop_asked(tmp_path / "run")
    with Run.open(tmp_path / "run") as run:
        assert run.unit("long", long_unit(run, seen)).facts == {"epochs": 6}
    assert seen == [0, 4]


def test_no_unit_begins_after_a_request_but_what_is_finished_is_kept(tmp_path, space):
    with Run.create(tmp_path / "run", space=space, settings={}) as run:
        run.unit("first", lambda checkpoint: Result({"x": 1}))
        ask_to_stop(run.path)
        assert run.unit("first", pytest.fail).facts == {"x": 1}
        assert run.keep("elsewhere", Result({"x": 2})).facts == {"x": 2}
        with pytest.raises(RunInterrupted):
            run.unit("second", pytest.fail)
        assert run.known("elsewhere") and not run.known("second")


def test_a_request_of_before_does_not_count(tmp_path, space):
    with Run.create(tmp_path / "run", space=space, settings={}):
        pass
    ask_to_stop(tmp_path / "run")
    with Run.open(tmp_path / "run") as run:
        assert not run.stopping()


def stops() -> None:
    raise Stopped


def test_a_task_that_was_stopped_has_not_failed_and_no_more_are_begun():
    asked: list[bool] = []
    calls = (Call(str(n), stops) for n in range(10))
    kinds = []
    for ended in completed(InlineExecutor(), calls, halt=lambda: bool(asked)):
        asked.append(True)
        kinds.append(ended.failure.kind)
    assert kinds == ["stopped", "stopped"]


PROGRAM = """
    import sys
    from pathlib import Path
    from fusionnas.run import Result, Run
    from fusionnas.stopping import install_signals

    class Space:
        name = "toy"
        def to_yaml(self):
            return "name: toy"

    def compute(checkpoint):
        print("go", flush=True)
        while True:
            if sys.argv[2] == "listens" and checkpoint.due():
                checkpoint.save({"x": 1})

    install_signals()
    with Run.create(Path(sys.argv[1]), space=Space(), settings={}, tell=lambda text: print(text, flush=True)) as run:
        run.unit("long", compute)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("unit", "signals", "saved"), [("listens", 1, 1), ("deaf", 2, 0)])
def test_one_signal_saves_and_a_second_one_ends_it_at_once(tmp_path: Path, number, unit, signals, saved):
    path = tmp_path / "run"
    command = [sys.executable, "-c", RESTORE + textwrap.dedent(PROGRAM), str(path), unit]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout.readline() == "go\n"
        process.send_signal(number)
        told = process.stdout.readline()
        for _ in range(signals - 1):
            process.send_signal(number)
        _, trace = process.communicate(timeout=60)
    assert told == "stopping at the next safe point, what is done is kept; once more to stop at once\n"
    assert trace.rstrip().endswith(f"RunInterrupted: {path}")
    assert len(list(path.rglob("*.pt"))) == saved and not stop_asked(path)


# A shell that starts the tests in the background has Ctrl-C ignored.
RESTORE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def test_signals_that_are_ignored_stay_so():
    code = "import signal; signal.signal(2, signal.SIG_IGN); from fusionnas.stopping import install_signals as i; i()\n"
    code += "print(signal.getsignal(2) is signal.SIG_IGN, signal.getsignal(15).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True _on_signal\n"
