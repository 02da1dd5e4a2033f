"""Ranks of Ray Train: a rank or the search itself is killed, and the bits stay; no room is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import multiprocessing

from tests.search.ranks import as_rank
from tests.test_whole_way import write_toy

pytestmark = pytest.mark.slow
EPOCHS = 5


def program(folder: Path, *deaths: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.distributed.ranks_program", str(folder), str(EPOCHS), *deaths]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same training on two ranks without Ray."""
    folder = tmp_path_factory.mktemp("plain")
    multiprocessing.spawn(as_rank, args=(2, str(folder), ("sampled",), EPOCHS), nprocs=2)
    return torch.load(folder / "sampled-0.pt")


def same_bits(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    parts = [part for part in ("supernet", "alphas") for _ in expected[part]]
    names = [name for part in ("supernet", "alphas") for name in expected[part]]
    equal = all(torch.equal(found[part][name], expected[part][name]) for part, name in zip(parts, names, strict=True))
    return equal and found["history"] == expected["history"]


def test_ranks_that_are_killed_one_after_the_other_change_no_bit(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    done = program(tmp_path, "rank:1:2", "rank:0:3")
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name for path in tmp_path.glob("dead-*")} == {"dead-0", "dead-1"}
    assert done.stdout.splitlines() == [f"epoch {n}" for n in range(1, EPOCHS + 1)]
    assert same_bits(torch.load(tmp_path / "state.pt"), undisturbed)


def test_a_search_that_is_killed_goes_on_with_its_ranks_to_the_same_bits(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    assert program(tmp_path, "driver:3").returncode == -9
    done = program(tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[0] in ("epoch 3", "epoch 4")  # what was saved before the kill
    assert same_bits(torch.load(tmp_path / "state.pt"), undisturbed)


def search(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    space = str(write_toy(home))
    command = [sys.executable, "-m", "fusionnas", "search", "--space", space, "--run-dir", str(home / "run"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_a_search_on_two_ranks_goes_on_from_their_supernet_which_is_that_of_one_process(tmp_path: Path) -> None:
    supernets = []
    for ranks in ("1", "2"):
        home = tmp_path / ranks
        home.mkdir()
        done = search(home, "--workers", "1", "--set", f"search.data_parallel={ranks}")
        assert done.returncode == 0, done.stderr
        supernets.append(load_file(home / "run" / "checkpoints" / "search" / "supernet.safetensors"))
        assert (home / "run" / "results.json").is_file()
    one, two = supernets
    assert one.keys() == two.keys()
    assert all(torch.allclose(one[name], two[name], atol=1e-5, rtol=1e-5) for name in one)
