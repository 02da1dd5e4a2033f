"""Ranks: processes that train one network together, each on its own rows of every batch.

All ranks walk through the same batches in the same order, draw the same random numbers for the whole batch, and take
the same decisions. Each weighs its mean loss by its share of the batch's rows; the gradients' sum over ranks is then
that of the whole batch, and as all add up the same bits, they take the same step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, distributed

from fusionnas.device import CPU
from fusionnas.layers import Rows

T = TypeVar("T")


class Ranks(Protocol):
    """The ranks as one of them sees them. All have to call the same in the same order."""

    rank: int
    size: int

    def summed(self, tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        """Sums over all ranks, the same bits on each; None where a tensor is None on every rank.

        Args:
            tensors: at least one.
            like: tensors of their shapes, all of one type.
        """

    def agreed(self, decide: Callable[[], T]) -> T:
        """What rank 0 decides, on every rank; an error that it meets is raised on all."""

    def alike(self, tensors: Iterable[Tensor]) -> bool:
        """Whether these have the same bits on every rank."""


def own_rows(ranks: Ranks, whole: int) -> Rows:
    """This rank's rows of a batch of ``whole``: neighbours, as many as the other ranks have, or one more or less.

    A rank that would have none computes the first row, at weight zero.
    """
    each, more = divmod(whole, ranks.size)
    first = ranks.rank * each + min(ranks.rank, more)
    count = each + (ranks.rank < more)
    return Rows(slice(first, first + count), whole, count / whole) if count else Rows(slice(0, 1), whole, 0.0)


class Alone:
    """One process: nothing to share."""

    rank, size = 0, 1

    def summed(self, tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        """The tensors themselves."""
        return list(tensors)

    def agreed(self, decide: Callable[[], T]) -> T:
        """Its own decision."""
        return decide()

    def alike(self, tensors: Iterable[Tensor]) -> bool:
        """Always."""
        return True


class TorchRanks:
    """Ranks of the default process group of torch.distributed, which has to be there.

    Args:
        device: where the group adds up: the CPU for gloo, this rank's GPU for nccl.
    """

    def __init__(self, device: torch.device = CPU) -> None:
        self.rank, self.size, self.device = distributed.get_rank(), distributed.get_world_size(), device

    def summed(self, tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        """One all-reduce of all tensors laid end to end, and behind them which of them are there."""
        there = like[0].new_tensor([tensor is not None for tensor in tensors], device=self.device)
        pieces = [torch.zeros_like(p) if t is None else t.detach() for t, p in zip(tensors, like, strict=True)]
        flat = torch.cat([*(piece.reshape(-1).to(self.device) for piece in pieces), there])
        distributed.all_reduce(flat)
        *sums, there = flat.split([*(p.numel() for p in like), len(like)])
        sums = [s.view_as(p).to(p.device) for s, p in zip(sums, like, strict=True)]
        return [s if n > 0 else None for s, n in zip(sums, there.tolist(), strict=True)]

    def agreed(self, decide: Callable[[], T]) -> T:
        """A broadcast of plain data, or of the error."""
        told: list[Any] = [None, None]
        if self.rank == 0:
            try:
                told[0] = decide()
            except Exception as error:
                told[1] = error
        distributed.broadcast_object_list(told, src=0)
        if told[1] is not None:
            raise told[1]
        value: T = told[0]
        return value

    def alike(self, tensors: Iterable[Tensor]) -> bool:
        """By a hash of all bytes."""
        digest = hashlib.sha256()
        for tensor in tensors:
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, digest.hexdigest())
        return len(set(found)) == 1


def summed_backward(ranks: Ranks, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same tensors; what flows back into them is the gradient summed over all ranks."""
    function: Any = _SummedBackward.apply
    found: Sequence[Tensor] = function(ranks, *tensors)
    return list(found)


class _SummedBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ranks: Ranks, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.ranks = ranks
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, *ctx.ranks.summed(gradients, gradients)
