"""Tasks on a Ray cluster: one actor per worker. Node and worker losses cost one attempt, as on one machine."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from fusionnas.distributed.connection import Connection
from fusionnas.distributed.shipping import alive_nodes, load_plugins, seen_everywhere
from fusionnas.execution.base import Call, Ended, Failure, Limits
from fusionnas.execution.crew import Crew, Member
from fusionnas.execution.guard import guarded
from fusionnas.execution.shared import Shared, dump

_FRESH = 5.0  # seconds for which a count of the cluster's resources holds


class Worker:
    """What runs in an actor's process."""

    def __init__(self, plugins: Mapping[str, bytes]) -> None:
        load_plugins(plugins)
        self._values: dict[str, Any] = {}

    def node(self) -> str:
        """Where it runs; the answer says that it is ready."""
        return str(ray.get_runtime_context().get_node_id())

    def run(self, function: Callable[..., Any], limits: Limits, keys: Sequence[str | None], *arguments: Any) -> Any:
        """One task: (value, failure); ``keys`` names those arguments that are shared values."""
        values = [a if key is None else self._value(key, a) for key, a in zip(keys, arguments, strict=True)]
        return guarded(function, values, limits)

    def _value(self, key: str, packed: tuple[bytes, Sequence[Any]]) -> Any:
        if key not in self._values:
            body, buffers = packed
            # Ray's own memory is read-only, and gone when Ray wants it back.
            self._values = {key: pickle.loads(body, buffers=[bytearray(buffer) for buffer in buffers])}
        return self._values[key]


@dataclass
class _Actor(Member):
    """One worker; ``waits_for`` is the answer that it owes, None while it is idle."""

    handle: Any
    waits_for: Any
    node: str = ""


class RayExecutor(Crew[_Actor]):
    """Workers on the cluster that this process is connected to.

    Args:
        connection: closed with this executor.
        workers: how many; None: as many as the cluster has room for, also when it grows.
        gpus: share of a GPU that each claims.
        plugins: Python files that every worker imports first; shipped to it.
    """

    def __init__(
        self, connection: Connection, *, workers: int | None, gpus: float = 0.0, plugins: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self._connection, self._asked, self._gpus = connection, workers, gpus
        self._plugins = {plugin: Path(plugin).read_bytes() for plugin in plugins}
        self._shared: dict[str, Any] = {}
        self._capacity, self._counted = 1, -math.inf

    @property
    def workers(self) -> int:
        """Tasks that run at the same time; follows the cluster's size unless it was given."""
        if self._asked is not None:
            return self._asked
        if time.monotonic() - self._counted > _FRESH:
            total = ray.cluster_resources()
            room = total.get("CPU", 0.0)
            if self._gpus > 0:
                room = min(room, total.get("GPU", 0.0) / self._gpus)
            self._capacity, self._counted = max(1, math.floor(room)), time.monotonic()
        return self._capacity

    def wait(self) -> Ended:
        """The next task that has ended; workers that died meanwhile are replaced.

        Raises:
            FusionNASError: workers die before they are ready.
        """
        while True:
            owed = {actor.waits_for: actor for actor in self._crew if actor.waits_for is not None}
            done, _ = ray.wait(list(owed), num_returns=1, timeout=1.0)
            for reference in done:
                ended = self._hear(owed[reference])
                self._deal()
                if ended is not None:
                    return ended
            self._deal()

    def vacate(self) -> bool:
        """All workers go; the next task hires anew."""
        for actor in list(self._crew):
            self._dismiss(actor)
        return True

    def reaches(self, folder: Path) -> bool:
        """Whether every node sees the files in ``folder``."""
        return seen_everywhere(folder)

    def close(self) -> None:
        """End the workers at once, then the connection."""
        if self._connection.owned or self._crew:
            for actor in self._crew:
                ray.kill(actor.handle)
        self._crew.clear()
        self._queue.clear()
        self._shared.clear()
        self._connection.close()

    def _hand(self, worker: _Actor, call: Call) -> None:
        keys = [a.key if isinstance(a, Shared) else None for a in call.arguments]
        arguments = [self._put(a) if isinstance(a, Shared) else a for a in call.arguments]
        worker.waits_for = worker.handle.run.remote(call.function, call.limits, keys, *arguments)

    def _hire(self) -> None:
        options = {"num_cpus": 1, "num_gpus": self._gpus, "max_restarts": 0, "max_task_retries": 0}
        handle: Any = ray.remote(Worker).options(**options).remote(self._plugins)
        self._crew.append(_Actor(handle, handle.node.remote()))

    def _put(self, shared: Shared[Any]) -> Any:
        if shared.key not in self._shared:
            body, buffers = dump(shared.value)
            self._shared = {shared.key: ray.put((body, [np.frombuffer(b, dtype=np.uint8) for b in buffers]))}
        return self._shared[shared.key]

    def _hear(self, actor: _Actor) -> Ended | None:
        reference, actor.waits_for = actor.waits_for, None
        try:
            answer = ray.get(reference)
        except RayTaskError as error:
            answer = None, Failure("error", str(error).strip().splitlines()[-1], str(error))
            if not actor.ready:
                return self._bury(actor, error)
        except RayError as error:
            return self._bury(actor, error)
        if not actor.ready:
            actor.node = answer
            self._born(actor)
            return None
        value, failure = answer
        attempt, actor.attempt = actor.attempt, None
        if failure is not None and failure.kind in ("time", "memory"):
            self._dismiss(actor)
        assert attempt is not None
        return None if actor.dropped else Ended(attempt.call, value, failure)

    def _dismiss(self, actor: _Actor) -> None:
        self._crew.remove(actor)
        ray.kill(actor.handle)

    def _bury(self, actor: _Actor, error: Exception) -> Ended | None:
        self._dismiss(actor)
        # The loss of a node, or of the way to it, is not the task's doing.
        blamed = not isinstance(error, ActorUnavailableError) and actor.node in alive_nodes()
        return self._lost(actor, cause_of(str(error)), str(error), blamed=blamed)


def cause_of(error: str) -> str:
    """The line of Ray's long text that says why an actor is gone."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("The actor")), lines[-1] if lines else "no reason is known")
