"""Making an oracle table: every architecture trained alone, stack by stack, on all workers; a stopped build goes on."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusionnas.architecture import Architecture
from fusionnas.data.base import Part
from fusionnas.errors import FusionNASError
from fusionnas.execution.base import Call, Executor, completed
from fusionnas.execution.shared import Shared
from fusionnas.oracle.problems import problem
from fusionnas.oracle.table import Table
from fusionnas.oracle.training import train_networks
from fusionnas.run.files import write_atomic
from fusionnas.run.progress import Progress
from fusionnas.search.contest import stacks
from fusionnas.search.heads import Candidate
from fusionnas.search.method import Problem

SEEDS = 3
STACK = 64


def build_table(name: str, folder: Path, *, executor: Executor, progress: Progress) -> Table:
    """Train what is not yet there under ``folder/NAME.parts``, then write ``folder/NAME.npz``.

    Raises:
        FusionNASError: a stack could not be trained.
    """
    given, test = problem(name)
    architectures = list(given.space.enumerate())
    groups = [[place for place, _ in stack] for stack in stacks((Candidate(a, 0) for a in architectures), STACK)]
    parts = folder / f"{name}.parts"
    files = {(number, seed): parts / f"{number}-{seed}.npz" for number in range(len(groups)) for seed in range(SEEDS)}
    shared = Shared((given, test))
    progress.stage(f"oracle table {name}", len(files))

    def calls() -> Iterator[Call]:
        for (number, seed), file in files.items():
            if file.is_file():
                progress.advance({})
            else:
                members = [architectures[place] for place in groups[number]]
                yield Call(f"{number}/{seed}", _train, (shared, members, seed, file))

    with contextlib.closing(completed(executor, calls())) as ends:
        for ended in ends:
            if ended.failure is not None:
                raise FusionNASError(f"stack {ended.call.name} failed: {ended.failure.text}\n{ended.failure.traceback}")
            progress.advance({})
    table = _joined(name, architectures, groups, files, (len(given.data.select), len(test)))
    table.save(folder / f"{name}.npz")
    shutil.rmtree(parts)
    return table


def _train(given: tuple[Problem, Part], architectures: list[Architecture], seed: int, file: Path) -> None:
    curves = train_networks(*given, architectures, seed)
    buffer = io.BytesIO()
    np.savez(
        buffer, select_loss=curves.select_loss.clamp_max(6e4).numpy().astype(np.float16),
        select_right=curves.select_right.numpy().astype(np.uint16),
        test_right=curves.test_right.numpy().astype(np.uint16),
    )  # fmt: skip
    write_atomic(file, buffer.getvalue())


def _joined(
    name: str,
    architectures: list[Architecture],
    groups: list[list[int]],
    files: dict[tuple[int, int], Path],
    sizes: tuple[int, int],
) -> Table:
    columns: dict[str, NDArray[np.generic]] = {}
    for (number, seed), file in files.items():
        with np.load(file, allow_pickle=False) as stored:
            for key in ("select_loss", "select_right", "test_right"):
                if key not in columns:
                    epochs = stored[key].shape[1]
                    columns[key] = np.zeros((len(architectures), SEEDS, epochs), stored[key].dtype)
                columns[key][groups[number], seed] = stored[key]
    return Table(
        name, tuple(architectures), columns["select_loss"].astype(np.float16),
        columns["select_right"].astype(np.int32), columns["test_right"].astype(np.int32), sizes,
    )  # fmt: skip
