"""Ranks of Ray Train: a rank or the search itself is killed, and the bits stay; no room is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import multiprocessing

from fusionnas.distributed.ranks import device_for_ranks
from tests.search.ranks import as_rank
from tests.test_whole_way import write_toy

pytestmark = pytest.mark.slow
EPOCHS = 5


def command(folder: Path, *deaths: str) -> list[str]:
    return [sys.executable, "-m", "tests.distributed.ranks_program", str(folder), str(EPOCHS), *deaths]


def program(folder: Path, *deaths: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(folder, *deaths), capture_output=True, text=True, check=False, timeout=600)


def rank_below(ancestor: int) -> int | None:
    """The process of a rank that a search has started."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            process = int(folder.name)
            while b"RayTrainWorker" in (folder / "cmdline").read_bytes() and process > 1:
                process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
                if process == ancestor:
                    return int(folder.name)
    return None


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


def test_a_rank_that_is_killed_while_it_starts_changes_no_bit(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    with subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as search:
        while (rank := rank_below(search.pid)) is None and search.poll() is None:
            time.sleep(0.05)
        assert rank is not None
        os.kill(rank, signal.SIGKILL)
        told = search.communicate(timeout=600)
    assert search.returncode == 0, told[1][-3000:]
    assert same_bits(torch.load(tmp_path / "state.pt"), undisturbed)


def test_a_rank_that_dies_every_time_ends_the_search_with_the_reason(tmp_path: Path) -> None:
    done = program(tmp_path, "always:1:2")
    told = "the ranks that train the supernet ended 3 times, or found no room on the cluster: "
    assert done.returncode == 1 and told in done.stderr.splitlines()[-1]
    assert "'fusionnas resume' goes on from the last checkpoint" in done.stderr
    assert list((tmp_path / "saved").glob("*.pt"))


# A program of its own: a process joins one cluster only.
ROOM = """
import ray
from ray.util.placement_group import placement_group, placement_group_table
from fusionnas.distributed.ranks import _give_room_back
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
left, other = placement_group([{"CPU": 1, "memory": 1234}] * 2), placement_group([{"memory": 1235}])
assert left.wait(60) and other.wait(60)
_give_room_back(1234)
assert placement_group([{"CPU": 1}] * 2).wait(60)
states = {facts["placement_group_id"]: facts["state"] for facts in placement_group_table().values()}
print(states[left.id.hex()], states[other.id.hex()])
"""


def test_the_room_of_ranks_that_ended_is_free_again_and_nobody_else_s_is(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ROOM], capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout.split() == ["REMOVED", "CREATED"], done.stderr[-3000:]


# As above, a program of its own.
LOST = """
import os, sys, threading
from pathlib import Path
from fusionnas.distributed.connection import _SETTINGS, connect
os.environ.update(_SETTINGS)
import ray, torch
from ray.cluster_utils import Cluster
from fusionnas.distributed.ranks import Search, train_on_ranks
from fusionnas.run.progress import QuietProgress
from fusionnas.run.unit import Checkpoint
from tests.search.ranks import fresh, state_of

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
connection = connect(cluster.address)

class Watched(QuietProgress):
    def advance(self, facts):
        print("epoch", facts["epoch"], flush=True)
        if facts["epoch"] == 2:
            cluster.remove_node(second, allow_graceful=False)
            cluster.add_node(num_cpus=1)

training, epochs = fresh("sampled", []), int(sys.argv[2])
folder = Path(sys.argv[1])
search = Search(training, lambda epoch: epoch / epochs, Checkpoint(folder / "saved", 0), Watched(stages=False))
train_on_ranks(search, 2, plugins=())
torch.save(state_of(training), folder / "state.pt")
connection.close()
cluster.shutdown()
"""


def test_a_node_that_is_lost_with_its_rank_changes_no_bit(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    lost = [sys.executable, "-c", LOST, str(tmp_path), str(EPOCHS)]
    done = subprocess.run(lost, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == [f"epoch {n}" for n in range(1, EPOCHS + 1)]
    assert same_bits(torch.load(tmp_path / "state.pt"), undisturbed)


PLUGIN = """
from fusionnas.layers import Linear
from fusionnas.operators import FusionOperator, OperatorFacts, register_operator
from fusionnas.operators.base import vector_result, vector_slots

@register_operator("tanh_sum")
class TanhSum(FusionOperator):
    facts = OperatorFacts(formula="tanh(W x)", source="this test", departs="", parameters="", macs="", rank=8)

    def __init__(self, inputs, width):
        super().__init__(inputs, width)
        self.joint = Linear(inputs * width, width)

    def forward(self, features):
        values, present = vector_slots(features)
        return vector_result(self.joint(values.flatten(-2)).tanh(), present.any(-1))

    @classmethod
    def count_parameters(cls, inputs, width):
        return (inputs * width + 1) * width

    @classmethod
    def count_macs(cls, inputs, width, tokens):
        return inputs * width * width
"""


def search(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    space = write_toy(home)
    (home / "own.py").write_text(PLUGIN)
    space.write_text(space.read_text().replace("[additive, mlp]", "[tanh_sum, mlp]") + "plugins: [own.py]\n")
    words = ["-m", "fusionnas", "search", "--space", str(space), "--run-dir", str(home / "run"), *options]
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, timeout=600)


def test_a_search_with_a_plug_in_goes_on_from_two_ranks_as_from_one_process(tmp_path: Path) -> None:
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


def test_a_cluster_with_too_few_cpus_is_told_before_anything_begins(tmp_path: Path) -> None:
    done = search(tmp_path, "--ray", "local", "--workers", "1", "--set", "search.data_parallel=2")
    assert done.returncode == 2
    told = "error: search.data_parallel: given 2, but the cluster has 1 CPUs and every rank needs one; give 1 or fewer"
    assert done.stderr.splitlines()[-1].startswith(told)
    assert not (tmp_path / "run").exists()


def test_ranks_compute_on_gpus_where_each_has_one() -> None:
    found = {asked: [device_for_ranks(asked, 2, gpus) for gpus in (0, 1, 2)] for asked in ("cpu", "cuda", "auto")}
    assert found == {"cpu": ["cpu"] * 3, "cuda": ["cuda"] * 3, "auto": ["cpu", "cpu", "cuda"]}
