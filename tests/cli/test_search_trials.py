"""``fusionnas search --trials``: what belongs to it, and what it tells."""

from __future__ import annotations

import json

import pytest

from fusionnas.bench.victims import write_space
from tests.studies.test_studies import QUICK, RANGES


def test_options_of_studies_need_one(fusionnas, tmp_path):
    search = ("search", "--space", str(write_space(tmp_path)))
    told = fusionnas(*search, "--storage", "sqlite:///a.db")
    assert (told.exit_code, told.stdout) == (2, "")
    assert "--sampler, --scheduler and --storage belong to --trials, which is not given" in told.stderr
    told = fusionnas(*search, "--trials", "2")
    assert told.exit_code == 2 and "the space 'small' gives no ranges" in told.stderr


@pytest.mark.slow
def test_a_study_tells_its_trials_and_its_best_run(fusionnas, tmp_path):
    file = write_space(tmp_path)
    file.write_text(f"{file.read_text()}{RANGES}\n")
    settings = [word for setting in QUICK for word in ("--set", setting)]
    options = ["--trials", "1", "--workers", "1", "--run-dir", str(tmp_path / "study"), *settings]
    shown = fusionnas("search", "--space", str(file), *options).stdout
    assert "loss on select" in shown and "training.learning_rate" in shown and "difference" in shown
    told = json.loads(fusionnas("resume", str(tmp_path / "study"), "--json").stdout)
    assert told["best"] == 0 and told["run"].endswith("trials/0000") and len(told["trials"]) == 1
    assert "test" in told["results"]
