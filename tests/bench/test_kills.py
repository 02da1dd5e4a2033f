"""The kill benchmark, with few kills."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fusionnas.bench.kill_ranks import kill_ranks
from fusionnas.bench.kill_scene import Scene, setting
from fusionnas.bench.kills import (
    damage,
    damage_finished,
    damage_unfinished,
    fill_disk,
    kill_driver,
    kill_nodes,
    kill_workers,
    kind_of,
)
from fusionnas.bench.victims import PHASES


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return setting(tmp_path_factory.mktemp("kills"), seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_driver_ends_the_same(scene: Scene, phase: str) -> None:
    (tally,) = kill_driver(scene.corner(phase, 1), phase, 3)
    assert tally.kills == 3 and tally.ends == tally.identical >= 1
    assert tally.lost_results == tally.repeated_openings == 0 and tally.other == []


@pytest.mark.slow
@pytest.mark.parametrize("trial", [kill_workers, kill_ranks, kill_nodes, fill_disk])
def test_lost_workers_ranks_and_nodes_and_full_disks_change_nothing(scene: Scene, trial) -> None:
    (tally,) = trial(scene.corner(trial.__name__, 1), 2)
    assert tally.kills >= 2 and tally.ends == tally.identical >= 1
    assert tally.lost_results == tally.repeated_openings == 0 and tally.other == []


@pytest.mark.slow
def test_damaged_files_cost_work_or_are_refused(scene: Scene) -> None:
    tallies = [*damage_unfinished(scene.corner("u", 1), 1), *damage_finished(scene.corner("f", 1), 1)]
    assert {"damaged: journal.jsonl", "damaged: state of a training"} <= {tally.victim for tally in tallies}
    for tally in tallies:
        assert tally.other == [] and tally.identical + tally.refused == tally.kills, tally


def test_damage_always_damages(tmp_path: Path) -> None:
    file, dice = tmp_path / "f", random.Random(0)
    for _ in range(50):
        file.write_bytes(bytes(range(40)))
        damage(file, dice)
        assert file.read_bytes() != bytes(range(40)) or len(file.read_bytes()) == 40


@pytest.mark.parametrize(
    ("file", "kind"),
    [("journal.jsonl", "journal.jsonl"), ("export/model.pt2", "export/"),
     ("checkpoints/retrain/a/0.safetensors", "result of a unit"),
     ("checkpoints/retrain/a/0.state/1.pt", "state of a training")],
)  # fmt: skip
def test_kinds_of_files(file: str, kind: str) -> None:
    assert kind_of(Path(file)) == kind
