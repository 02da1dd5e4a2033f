from __future__ import annotations

import json
import shutil
from pathlib import Path


def test_one_run_is_written_into_its_folder(fusionnas, toy_run: Path, tmp_path: Path):
    copy = Path(shutil.copytree(toy_run, tmp_path / "run"))
    (copy / "report.html").unlink()
    result = fusionnas("report", str(copy))
    assert result.exit_code == 0 and (copy / "report.html").is_file()
    assert result.stdout.startswith(f"written to {copy / 'report.html'}, ")


def test_several_runs_go_where_asked(fusionnas, toy_run: Path, tmp_path: Path):
    page = tmp_path / "both.html"
    told = json.loads(fusionnas("report", str(toy_run), str(toy_run), "--output", str(page), "--json").stdout)
    assert told["page"] == str(page) and page.is_file()
    assert all(Path(file).is_file() for file in told["files"]) and len(told["files"]) > 10


def test_no_run_is_wrong_input(fusionnas, tmp_path: Path):
    result = fusionnas("report", str(tmp_path))
    assert result.exit_code == 2 and "is no run: it has no journal.jsonl" in result.stderr
