"""A small search in a process of its own that others may kill, and what is left to compare when it has ended.

The processes are forked from one that has imported everything, so that a life of one second is a second of search.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import resource
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np

import fusionnas.run.run
from fusionnas.api import resume, search
from fusionnas.errors import FusionNASError, InputError
from fusionnas.run.journal import Journal

SPACE = """
name: small
data: {format: npz, train: small.npz, target: label}
task: {kind: binary, target: label, metric: accuracy}
modalities:
  a: {kind: vector, encoder: mlp, levels: 1}
  b: {kind: vector, encoder: mlp, levels: 1}
fusion: {nodes: 1, width: 8, inputs: 2, operators: [additive, mlp]}
training: {epochs: 6, learning_rate: 0.01, batch_size: 32}
search: {epochs: 6, heads: 8, rungs: [1], rescore: 2, finalists: 1, folds: 2, seeds: 1, random: 1}
"""
RANKED = 20
"""Epochs of a supernet on ranks, so that kills also meet it while it trains."""
KEPT = ("architecture.json", "weights.safetensors", "preprocessing.json")
PHASES = ("search", "retrain", "test", "export")


_PHASE = {
    **dict.fromkeys(("retrain finalists", "compare on all folds", "baselines", "final networks"), "retrain"),
    "test": "test", "export": "export", "report": "export",
}  # fmt: skip


def write_space(folder: Path, *, ranks: int = 1) -> Path:
    """The space and its data: a label that both modalities decide together. Several ranks train many more epochs."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 240, 4))
    np.savez(folder / "small.npz", a=a, b=b, label=(a[:, 0] * b[:, 0] > 0).astype(np.int64))
    ranked = SPACE.replace("search: {epochs: 6,", f"search: {{epochs: {RANKED}, data_parallel: {ranks},")
    (folder / "small.yaml").write_text(SPACE if ranks == 1 else ranked)
    return folder / "small.yaml"


def phase_of(stage: str) -> str:
    """The phase that a stage belongs to."""
    return _PHASE.get(stage, "search")


@dataclass(frozen=True)
class Life:
    """How a process searches.

    Attributes:
        space: the space file.
        run: the run folder; where it holds a run, that goes on.
        workers: processes that train.
        ray: address of a cluster, or none.
        environment: variables that it needs to join it.
        file_size: bytes that a file may have before the disk is full; none: no limit.
        save_every: seconds between checkpoints.
    """

    space: Path
    run: Path
    workers: int = 1
    ray: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    file_size: int | None = None
    save_every: float = 0.05


class Victim:
    """A search at work. ``said`` receives its stages; ``process`` may be killed.

    Its messages: ("stage", name) as stages begin, ("told", text) for people, and at its end ("refused", text) or
    ("error", text) where it did not end well.
    """

    def __init__(self, life: Life) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, "fusionnas.search.pipeline", "fusionnas.search.reopen"])
        self.said, told = context.Pipe(duplex=False)
        self.process: ForkServerProcess = context.Process(target=_live, args=(life, told))
        self.process.start()
        told.close()

    def stages(self, patience: float | None = None) -> Iterator[str]:
        """Stages as they begin, until it ends; stops earlier where nothing begins for ``patience`` seconds."""
        for kind, text in self.messages(patience):
            if kind == "stage":
                yield text

    def messages(self, patience: float | None = None) -> Iterator[tuple[str, str]]:
        """All that it says."""
        with contextlib.suppress(EOFError):
            while self.said.poll(patience):
                yield self.said.recv()

    def end(self) -> list[tuple[str, str]]:
        """Wait until it has ended by itself; what it said until then."""
        said = list(self.messages())
        self.process.join()
        return said

    def kill(self) -> bool:
        """``kill -9``; whether it was still alive."""
        self.process.kill()
        self.process.join()
        return self.process.exitcode != 0

    @property
    def workers(self) -> list[int]:
        """Its worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with contextlib.suppress(OSError):
            return [int(word) for word in children.read_text().split()]
        return []


def _live(life: Life, told: Connection) -> None:
    fusionnas.run.run.SAVE_EVERY = life.save_every
    os.environ.update(life.environment)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    if life.file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (life.file_size, life.file_size))
    progress = _Saying(told)
    try:
        if (life.run / "journal.jsonl").exists():
            resume(life.run, workers=life.workers, ray=life.ray, progress=progress)
        else:
            search(life.space, run_dir=life.run, workers=life.workers, ray=life.ray, seed=3, progress=progress)
    except InputError as error:
        told.send(("refused", str(error)))
        sys.exit(2)
    except (FusionNASError, OSError) as error:
        told.send(("error", str(error)))
        sys.exit(1)


class _Saying:
    """Progress for the process that watches."""

    def __init__(self, told: Connection) -> None:
        self._told = told

    def stage(self, name: str, total: int) -> None:
        self._told.send(("stage", name))

    def advance(self, facts: Mapping[str, Any]) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        self._told.send(("told", text))


@dataclass(frozen=True)
class Outcome:
    """What a finished run found: the bytes of its network, and its results but for times."""

    network: tuple[bytes, ...]
    results: dict[str, Any]


def outcome(run: Path) -> Outcome:
    """Read it; errors if it is not there."""
    results = json.loads((run / "results.json").read_text())
    kept = {key: value for key, value in results.items() if key not in ("seconds", "cost")}
    return Outcome(tuple((run / name).read_bytes() for name in KEPT), kept)


def openings(run: Path) -> int:
    """How often the test part was opened."""
    return sum(entry.get("event") == "test_opened" for entry in Journal(run / "journal.jsonl").events)


def known_results(run: Path) -> dict[str, Any]:
    """The units that are in the journal, and their facts."""
    if not (run / "journal.jsonl").exists():
        return {}
    return {entry["unit"]: entry["facts"] for entry in Journal(run / "journal.jsonl").entries if "unit" in entry}
