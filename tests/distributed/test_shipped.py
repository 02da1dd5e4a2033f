"""What every method trains can be sent to ranks, and is there what it was here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fusionnas.run.unit import Checkpoint
from fusionnas.search import encoders, relaxed
from fusionnas.search.budget import Pace
from fusionnas.search.decoders import perturbation
from fusionnas.search.gradient import SupernetTraining
from fusionnas.search.method import Task, methods
from tests.search.test_methods import SMALL, data, search, space

pytestmark = pytest.mark.slow
RELAXED = [name for name in methods if methods[name].facts.relaxed]


@pytest.mark.parametrize("method", [*RELAXED, "default"])
def test_a_training_is_sent_whole(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray import cloudpickle

    sent = []

    def train(task: Task, training: SupernetTraining, pace: Pace, checkpoint: Checkpoint) -> list[dict[str, Any]]:
        copy = cloudpickle.loads(cloudpickle.dumps(training))
        there = copy.run(pace, checkpoint, task.progress.advance)
        sent.append(training.run(pace, Checkpoint(None, 0), task.progress.advance) == there)
        return there

    for user in (encoders, relaxed, perturbation):
        monkeypatch.setattr(user, "train_supernet", train)
    decoder = () if method == "default" else ("search.decoder=perturbation",)
    known = space(SMALL, f"search.method={method}", "search.diversity=0.1", "training.dropout=0.1", *decoder)
    search(method, tmp_path / "run", known, data(SMALL))
    assert sent == ([True] if method == "default" else [True, True])
