"""The whole search, killed again and again, from the command line."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = (
    "search.epochs=2",
    "search.heads=10",
    "search.rungs=[1]",
    "search.rescore=2",
    "search.finalists=1",
    "search.random=1",
    "search.seeds=1",
    "training.epochs=1",
    "fusion.operators=[additive,gated]",
)
FUSIONNAS = (sys.executable, "-c", "from fusionnas.cli.main import main; main()")
SETTINGS = [word for setting in SMALL for word in ("--set", setting)]
MOST_KILLS = 60
SEARCH = (*FUSIONNAS, "search", "--space", "ehr.yaml", "--workers", "1", *SETTINGS)


def outcome(path: Path) -> list[object]:
    """All that a run found, without how long anything took."""
    files = [(path / name).read_bytes() for name in ("architecture.json", "weights.safetensors", "preprocessing.json")]
    results = json.loads((path / "results.json").read_text())
    return [*files, {key: value for key, value in results.items() if key not in ("seconds", "cost")}]


@pytest.mark.slow
def test_a_search_killed_at_twenty_random_moments_ends_the_same(tmp_path):
    subprocess.run([*SEARCH, "--run-dir", str(tmp_path / "whole")], check=True, capture_output=True)
    moments = random.Random(2026)
    kills = runs = 0
    while kills < 20:
        runs += 1
        path = tmp_path / f"killed-{runs}"
        command = [*SEARCH, "--run-dir", str(path)]
        while True:
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                try:
                    # Longer and longer: on a slow machine the longest step without a checkpoint must end too.
                    process.wait(moments.uniform(0.5, 9 + kills) if kills < MOST_KILLS else None)
                except subprocess.TimeoutExpired:
                    process.kill()
            if process.returncode == 0:
                break
            kills += 1
            if (path / "journal.jsonl").exists():
                command = [*FUSIONNAS, "resume", str(path), "--workers", "1"]
        assert outcome(path) == outcome(tmp_path / "whole")
