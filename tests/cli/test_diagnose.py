from __future__ import annotations

import json
import shutil
from pathlib import Path


def test_people_read_a_digest_and_machines_json(fusionnas, toy_run: Path, tmp_path: Path):
    copy = str(shutil.copytree(toy_run, tmp_path / "run"))
    shown = fusionnas("diagnose", copy, "--only", "emap", "--workers", "1")
    assert shown.exit_code == 0
    assert "emap  Does the network use interactions between modalities" in shown.stdout
    assert "best fused" in shown.stdout and "its additive projection" in shown.stdout
    assert shown.stdout.endswith(f"written to {copy}/diagnostics\n")
    told = json.loads(fusionnas("diagnose", copy, "--only", "emap", "--json").stdout)
    assert told["emap"]["answer"][0] in shown.stdout


def test_an_unknown_diagnostic_is_wrong_input(fusionnas, toy_run: Path):
    result = fusionnas("diagnose", str(toy_run), "--only", "emapp")
    assert result.exit_code == 2
    assert "Did you mean 'emap'?" in result.stderr
