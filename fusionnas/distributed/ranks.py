"""A supernet on ranks: workers of Ray Train's TorchTrainer, one process group: gloo on CPUs, nccl with a GPU each.

The search ships the training to the ranks and answers what rank 0 asks: how far it is, whether to save, where to go on.
So its run folder has one writer, and no rank needs to see it. When a rank or a node dies, all ranks start again from
the last checkpoint.
"""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
from ray import PlacementGroupID, cloudpickle
from ray.exceptions import RayError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group
from ray.util.queue import Empty, Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fusionnas.device import compute_device, on_cpu
from fusionnas.distributed.shipping import load_plugins
from fusionnas.errors import FusionNASError
from fusionnas.execution.base import ATTEMPTS
from fusionnas.execution.scratch import scratch_folder
from fusionnas.run.progress import Progress
from fusionnas.run.unit import Checkpoint
from fusionnas.search.budget import Pace
from fusionnas.search.gradient import Row, SupernetTraining
from fusionnas.training.randomness import one_thread, seeded
from fusionnas.training.ranks import TorchRanks

PATIENCE = 120
"""Seconds after which a rank that waits for another one, or for an answer, gives up."""


class _Ended(Exception):
    """The search does not want the ranks any more; it knows why."""


@dataclass
class Search:
    """What a search does for its ranks.

    Attributes:
        training: what they carry out; it ends in their state.
        pace, checkpoint: of the unit of work.
        progress: is told of every epoch once, also where ranks had to repeat it.
    """

    training: SupernetTraining
    pace: Pace
    checkpoint: Checkpoint
    progress: Progress
    done: bool = False
    error: BaseException | None = None
    _told: int = 0

    def answer(self, what: str, *given: Any) -> tuple[Any, bool]:
        """To one question of rank 0, and whether the ranks are still wanted; where they are not, ``error`` says why."""
        answers: dict[str, Callable[..., Any]] = {
            "pace": self.pace, "load": self.checkpoint.load, "due": self.checkpoint.due, "save": self.checkpoint.save,
            "watch": self._watch, "done": self._take, "failed": self._fail,
        }  # fmt: skip
        try:
            return answers[what](*given), True
        except Exception as error:
            self.error = error
            return None, False

    def _watch(self, facts: Mapping[str, Any]) -> None:
        if facts["epoch"] > self._told:
            self._told = facts["epoch"]
            self.progress.advance(facts)

    def _take(self, state: dict[str, Any]) -> None:
        with seeded(0):  # the state sets torch's generator, which is the ranks' matter
            self.training.restore(state)
        self.done = True

    def _fail(self, message: str) -> None:
        raise FusionNASError(message)


def room_for_ranks() -> dict[str, int]:
    """CPUs and GPUs of the cluster that this process is connected to."""
    found = ray.cluster_resources()
    return {unit: int(found.get(unit, 0)) for unit in ("CPU", "GPU")}


def device_for_ranks(asked: str, size: int, gpus: int) -> str:
    """"cpu" or "cuda", for all ranks alike: with ``auto``, cuda where the cluster has a GPU for each."""
    return asked if asked != "auto" else "cuda" if gpus >= size else "cpu"


def train_on_ranks(search: Search, size: int, *, plugins: Sequence[str]) -> list[Row]:
    """Carry out the search's training on ``size`` ranks of the cluster that this process is connected to.

    Returns:
        one row per epoch.

    Raises:
        FusionNASError: what the training itself raises; or ranks died ``ATTEMPTS`` times, or find no room.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    asked, answered = (Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here}) for _ in range(2))
    given = {
        "training": ray.put(cloudpickle.dumps(search.training)), "asked": asked, "answered": answered,
        "device": device_for_ranks(search.training.recipe.device, size, room_for_ranks()["GPU"]),
        "plugins": {plugin: Path(plugin).read_bytes() for plugin in plugins},
    }  # fmt: skip
    try:
        for _ in range(ATTEMPTS):
            failure = _fit(search, size, given)
            if search.error is not None:
                raise search.error
            if search.done:
                return search.training.history
            if not _while_starting(failure):
                break
    finally:
        for queue in (asked, answered):
            queue.shutdown(force=True)
    raise FusionNASError(
        f"the ranks that train the supernet ended {ATTEMPTS} times, or found no room on the cluster: "
        f"{_cause(failure)}; 'fusionnas resume' goes on from the last checkpoint"
    )


def _fit(search: Search, size: int, given: dict[str, Any]) -> Exception | None:
    """Let Ray Train work, and answer rank 0 meanwhile; how Ray Train failed."""
    folder, failures, mark = scratch_folder(), list[Exception](), 1 + secrets.randbelow(2**20)

    def fit() -> None:
        try:
            _trainer(size, folder, given, mark).fit()
        except Exception as error:
            failures.append(error)

    # Ray Train takes Ctrl-C away from a main thread, where it means: save and stop.
    fitting = threading.Thread(target=fit, daemon=True)
    fitting.start()
    try:
        while fitting.is_alive():
            with suppress(Empty):
                asker, what, details = given["asked"].get(timeout=0.5)
                given["answered"].put((asker, *search.answer(what, *details)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _give_room_back(mark)
    return failures[0] if failures else None


def _give_room_back(mark: int) -> None:
    """Remove the placement groups that ask for ``mark`` bytes of memory.

    Ray Train forgets its group where a rank dies between being set up and being asked to train; the room would be
    taken until this process ends, and the ranks' successors would wait for it.
    """
    for facts in placement_group_table().values():
        marked = any(bundle.get("memory") == mark for bundle in facts["bundles"].values())
        if marked and facts["state"] != "REMOVED":
            remove_placement_group(PlacementGroup(PlacementGroupID.from_hex(facts["placement_group_id"])))


def _while_starting(failure: Exception | None) -> bool:
    """Whether a rank died while they were set up, after which Ray Train does not try again by itself."""
    return isinstance(getattr(failure, "controller_failure", None), RayError)


def _trainer(size: int, folder: Path, given: dict[str, Any], mark: int) -> Any:
    """``mark``: bytes of memory that each rank claims, next to nothing, by which its room is known again."""
    gpus = 1 if given["device"] == "cuda" else 0
    again: dict[str, Any] = {"max_failures": ATTEMPTS - 1, "controller_failure_limit": ATTEMPTS - 1}
    return TorchTrainer(
        _as_rank,
        train_loop_config=given,
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo", timeout_s=PATIENCE),
        scaling_config=ray.train.ScalingConfig(
            num_workers=size, use_gpu=bool(gpus), resources_per_worker={"CPU": 1, "GPU": gpus, "memory": mark}
        ),
        run_config=ray.train.RunConfig(
            name=f"ranks-{secrets.token_hex(4)}",  # a name that was used before would be carried on
            storage_path=str(folder),
            failure_config=ray.train.FailureConfig(**again),
        ),
    )


def _cause(failure: Exception | None) -> str:
    lines = [line.strip() for line in str(failure or "").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason was given"


class _Desk(Checkpoint):
    """The search, as rank 0 sees it."""

    def __init__(self, asked: Queue, answered: Queue) -> None:
        self._asked, self._answered, self._name = asked, answered, secrets.token_hex(8)

    def ask(self, what: str, *given: Any) -> Any:
        """What the search says; answers to a rank 0 that died before are passed over."""
        self._asked.put((self._name, what, on_cpu(given)))
        while True:
            name, value, wanted = self._answered.get(timeout=PATIENCE)
            if name == self._name:
                if not wanted:
                    raise _Ended
                return value

    def load(self) -> dict[str, Any] | None:
        state: dict[str, Any] | None = self.ask("load")
        return state

    def due(self) -> bool:
        return bool(self.ask("due"))

    def save(self, state: Mapping[str, Any]) -> None:
        self.ask("save", dict(state))


def _as_rank(given: dict[str, Any]) -> None:
    """One rank, from its start to its end."""
    load_plugins(given["plugins"])
    training: SupernetTraining = cloudpickle.loads(ray.get(given["training"]))
    training.recipe = replace(training.recipe, device=given["device"])
    if given["device"] == "cuda":
        torch.cuda.set_device(ray.train.torch.get_device())  # ranks of one node see each other's GPUs
    ranks = TorchRanks(compute_device(given["device"]))
    desk = _Desk(given["asked"], given["answered"])
    with one_thread(), suppress(_Ended):
        try:
            training.run(
                lambda epoch: float(desk.ask("pace", epoch)), desk, lambda facts: desk.ask("watch", dict(facts)), ranks
            )
        except FusionNASError as error:  # met by all ranks alike: trying again would not help
            if ranks.rank == 0:
                desk.ask("failed", str(error))
            return
        ranks.agreed(lambda: desk.ask("done", training.saved()))
