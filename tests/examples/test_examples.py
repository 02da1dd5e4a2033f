"""Every example runs, as its user runs it: a script in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
QUICK = FOLDER / "04_plug_in_operator.py"
SEARCHES = [FOLDER / "01_search_simulated.py", FOLDER / "02_own_files.py"]
USE = FOLDER / "03_use_an_export.py"


def run(script: Path, *arguments: Path) -> str:
    command = [sys.executable, str(script), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_every_example_is_run_here_and_is_short() -> None:
    assert sorted(FOLDER.glob("*.py")) == sorted([QUICK, USE, *SEARCHES])
    for script in FOLDER.glob("*.py"):
        assert len(script.read_text().splitlines()) <= 60, script.name


def test_own_operator(tmp_path: Path) -> None:
    printed = run(QUICK, tmp_path)
    assert "2 operators" in printed
    assert "tanh_sum" in printed


@pytest.mark.slow
@pytest.mark.parametrize("search", SEARCHES, ids=lambda path: path.stem)
def test_search_and_use_what_it_found(search: Path, tmp_path: Path) -> None:
    printed = run(search, tmp_path)
    assert "it is better than the best single modality" in printed
    exported = next(tmp_path.glob("**/export.json")).parent
    used = run(USE, exported)
    assert "logits of two average samples: [" in used
