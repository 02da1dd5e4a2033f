"""Discretisation gap: how much worse is what is used than what was searched? The default, on every bundled space.

Per space one search by the default method, on the data that the space names; the test part stays shut. ``supernet`` is
the score of the mixture of all choices when its training ended, ``found`` that of the network that was chosen and
trained end to end, both on the select part; ``gap`` the points between them (negative: the found network is better).
``head_loss`` and ``found_loss`` (nats) say the same of the head that was trained alone on cached features. A space
whose data are not at hand is left out.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusionnas.api import begun, executor_for, settled
from fusionnas.bench.base import register_bench, write_table
from fusionnas.errors import DataError, InputError, did_you_mean
from fusionnas.run.progress import Progress
from fusionnas.search.budget import Budget
from fusionnas.search.encoders import train_encoders, with_layers
from fusionnas.search.method import Task
from fusionnas.search.pipeline import select
from fusionnas.search.reopen import task_of
from fusionnas.space import SearchSpace
from fusionnas.space.bundled import bundled_spaces
from fusionnas.supernet import Alphas
from fusionnas.supernet.mixing import even
from fusionnas.training.randomness import one_thread
from fusionnas.training.scoring import LOWER_IS_BETTER, scores


@register_bench("gaps")
def gaps(
    output: Path, *, seed: int, workers: int, progress: Progress, words: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Every bundled space, or those named.

    Raises:
        InputError: there is no such space.
    """
    known = {Path(name).stem: path for name, path in bundled_spaces().items()}
    wrong = [f"'{word}'.{did_you_mean(word, known)}" for word in words if word not in known]
    if wrong:
        raise InputError(f"fusionnas bench gaps: expected some of {', '.join(known)}; given", wrong)
    rows: list[dict[str, Any]] = []
    for name in words or known:
        space = SearchSpace.load(known[name])
        if space.file.search.method != "default":
            continue
        try:
            rows.append(_gap(space, seed, workers, progress))
        except DataError as missing:
            progress.message(f"{name} is left out: {missing}")
            continue
        write_table(output, rows)
    return rows


def _gap(space: SearchSpace, seed: int, workers: int, progress: Progress) -> dict[str, Any]:
    space, dataset, settings = settled(space, data=None, data_path=None, seed=seed)
    start = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(executor_for(space, workers, None, progress)) as executor,
        begun(Path(folder) / "run", space, dataset, settings, progress) as run,
        one_thread(),
    ):
        task = task_of(run, space, dataset, progress, executor)
        found, winner = select(task)
        mixed = _mixture(task)
    chosen, part, metric = winner.trained[0], task.data.select, space.file.task.metric
    assert chosen.held_out is not None
    before, after = (scores(logits, part.target) for logits in (mixed, chosen.held_out))
    sign = -1 if metric in LOWER_IS_BETTER else 1
    heads = {row["id"]: row["loss"] for row in found.facts.get("shortlist", ())}
    head = heads.get(winner.architecture.id)
    return {
        "space": space.name, "metric": metric, "supernet": f"{before[metric]:.4f}", "found": f"{after[metric]:.4f}",
        "gap": f"{100 * sign * (before[metric] - after[metric]):+.2f}",
        "supernet_loss": f"{before['log_loss']:.4f}", "head_loss": "" if head is None else f"{head:.4f}",
        "found_loss": f"{after['log_loss']:.4f}", "architecture": str(winner.architecture),
        "select_samples": len(part), "seed": seed, "seconds": f"{time.monotonic() - start:.0f}",
    }  # fmt: skip


@torch.no_grad()
def _mixture(task: Task) -> Tensor:
    """Logits (N, C) of the trained supernet on select; the run remembers its weights."""
    encoders = train_encoders(task, Budget(task))
    mixing = with_layers(task.space, Alphas(task.space).mixing(even), encoders.layers)
    supernet = encoders.supernet.eval()
    return torch.cat([supernet(batch.inputs, mixing) for batch in task.data.select.batches(512)])
