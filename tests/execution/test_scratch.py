from __future__ import annotations

import os
import subprocess
import sys

from fusionnas.execution.scratch import scratch_folder

PROGRAM = """
import os, signal, sys
from pathlib import Path
from fusionnas.execution.scratch import scratch_folder
print(scratch_folder(Path(sys.argv[1])).name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_deleted_by_the_next_one(tmp_path):
    left = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False)
    (tmp_path / "fusionnas-notes-1").mkdir()
    assert (tmp_path / left.stdout.strip()).is_dir()
    ours = scratch_folder(tmp_path)
    assert ours.name.startswith(f"fusionnas-{os.getpid()}-")
    assert {path.name for path in tmp_path.iterdir()} == {ours.name, "fusionnas-notes-1"}
    scratch_folder(tmp_path)
    assert ours.is_dir()
