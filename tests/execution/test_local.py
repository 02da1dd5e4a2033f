"""Worker processes of this machine: they end with the search, leave Ctrl-C to it, and say why they do not start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fusionnas.errors import FusionNASError
from fusionnas.execution import Call, completed
from fusionnas.execution.local import LocalExecutor
from tests.execution import tasks

DRIVER = """
import signal, sys
from pathlib import Path
from fusionnas.execution import Call, completed
from fusionnas.execution.local import LocalExecutor
from tests.execution import tasks
signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests' own parent may have had it ignored
calls = [Call("say", tasks.say, (Path(sys.argv[1]),)), Call("spin", tasks.spin)]
for ended in completed(LocalExecutor(2), calls):
    print(ended.value, flush=True)
"""


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{process}/stat").read_text().split()[2] == "Z"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_process_that_started_them(tmp_path, how):
    with subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path / "x")], stdout=-1, stderr=-3) as driver:
        worker = int(driver.stdout.readline())
        driver.send_signal(how)
    until = time.monotonic() + 30
    while not gone(worker) and time.monotonic() < until:
        os.sched_yield()
    assert gone(worker)


def test_workers_never_see_the_terminals_interrupt():
    with contextlib.closing(LocalExecutor(2)) as executor:
        (ended,) = completed(executor, [Call("group", os.getpgrp)])
    assert ended.value != os.getpgrp()


def test_workers_that_do_not_start_are_told(tmp_path):
    (tmp_path / "plugin.py").write_text("import nothing_of_that_name\n")
    told = r"(?s)worker processes do not start: it ended with status 1\n.*No module named 'nothing_of_that_name'"
    executor = LocalExecutor(2, plugins=[str(tmp_path / "plugin.py")])
    with contextlib.closing(executor), pytest.raises(FusionNASError, match=told):
        list(completed(executor, [Call("square", tasks.square, (2,))]))


def test_workers_are_kept_from_one_stage_to_the_next():
    with contextlib.closing(LocalExecutor(2)) as executor:
        first = {ended.value for ended in completed(executor, [Call(str(n), os.getpid) for n in range(4)])}
        later = {ended.value for ended in completed(executor, [Call(str(n), os.getpid) for n in range(4)])}
    assert len(first | later) <= 2 and os.getpid() not in first


def test_a_shared_value_is_written_once_and_its_file_goes_with_it():
    from fusionnas.execution import Shared

    shared = Shared({"n": 3})
    file = shared.file()
    assert shared.file() == file and file.exists()
    with pytest.raises(TypeError, match="only as an argument of a Call"):
        shared.__reduce__()
    del shared
    assert not file.exists()
