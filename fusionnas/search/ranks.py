"""Where a supernet is trained: in this process, or on ranks that share its batches (``search.data_parallel``)."""

from __future__ import annotations

from contextlib import ExitStack, closing

import torch

from fusionnas.errors import InputError
from fusionnas.execution.choose import cores, make_executor
from fusionnas.run.unit import Checkpoint
from fusionnas.search.budget import Pace
from fusionnas.search.gradient import Row, SupernetTraining
from fusionnas.search.method import Task
from fusionnas.space import SearchSpace


def train_supernet(task: Task, training: SupernetTraining, pace: Pace, checkpoint: Checkpoint) -> list[Row]:
    """Train in place; one row per epoch. Ranks do what one process does, up to rounding.

    Raises:
        FusionNASError: the loss is not finite, or ranks fail again and again. InputError: no room for them.
    """
    size = task.space.file.search.data_parallel
    if size == 1:
        return training.run(pace, checkpoint, task.progress.advance)
    with ExitStack() as stack:
        if not task.executor.vacate():
            stack.enter_context(closing(make_executor(size, ray="local", tell=task.progress.message)))
        from fusionnas.distributed.ranks import Search, train_on_ranks

        search = Search(training, pace, checkpoint, task.progress)
        return train_on_ranks(search, size, plugins=task.space.file.plugins)


def check_ranks(space: SearchSpace, *, ray: str | None) -> None:
    """Whether the ranks that a space asks for have a core, and a GPU, each; of a cluster, once it is joined.

    Raises:
        InputError: they have not.
    """
    size = space.file.search.data_parallel
    if size == 1:
        return
    if ray is None:
        room, where = {"CPU": cores(), "GPU": torch.cuda.device_count()}, "this machine"
        advice = "or join a cluster that has more (--ray HOST:PORT)"
    else:
        from fusionnas.distributed.ranks import room_for_ranks

        room, where, advice = room_for_ranks(), "the cluster", "or add nodes"
    for unit in ("CPU", "GPU") if space.file.execution.device == "cuda" else ("CPU",):
        if size > room[unit]:
            raise InputError(
                f"search.data_parallel: given {size}, but {where} has {room[unit]} {unit}s and every rank needs one; "
                f"give {max(1, room[unit])} or fewer, {advice}"
            )
