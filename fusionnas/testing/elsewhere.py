"""A second device for machines without a GPU: its tensors lie on ``meta``, say all who ask, and compute on the CPU.

As on a GPU, an operation that mixes them with a tensor of the CPU fails, unless torch itself allows that: a scalar in
an elementwise operation, an index, a copy. Other than on ``meta`` there are numbers, so whole trainings run. Kernels
and random numbers are those of the CPU: what is found out is where tensors are, nothing about a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

_THERE = torch.device("meta")
_ATEN = torch.ops.aten
_INDEXED = {  # what is on the CPU may index what is elsewhere, not the other way round
    _ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default, _ATEN._index_put_impl_.default,
}  # fmt: skip


class Mixed(RuntimeError):
    """One operation on tensors of two devices."""


@contextmanager
def second_device() -> Iterator[torch.device]:
    """Inside, tensors and modules can be moved to the device that it yields, and back.

    A module's parameters stay the same objects on the way there, as on the way to a GPU; on the way back they do not.
    """
    with _Switch():  # type: ignore[no-untyped-call]
        yield _THERE


class Elsewhere(Tensor):
    """A tensor on the second device.

    Args:
        held: its numbers, on the CPU.
    """

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        """A tensor of the same form without memory of its own."""
        made: Elsewhere = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=_THERE,
        )  # fmt: skip
        made.held = held
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Elsewhere({self.held})"

    @property
    def data(self) -> Tensor:
        """As of any tensor; what is set are the numbers."""
        return self.detach()

    @data.setter
    def data(self, given: Tensor) -> None:
        assert isinstance(given, Elsewhere)
        self.held = given.held

    def tolist(self) -> Any:
        """The numbers, as of any device."""
        return self.held.tolist()

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], facts: None, size: Any, stride: Any) -> Elsewhere:
        return Elsewhere(inner["held"])

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(function, args, kwargs or {})


class _Switch(TorchDispatchMode):
    """Also catches what has no argument on the second device: what is made there, or moved there."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(function, args, kwargs or {})


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation: on the CPU's numbers, its result where a GPU would have it."""
    given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
    there = any(isinstance(one, Elsewhere) for one in given)
    if there:
        _check(function, args, [one for one in given if not isinstance(one, Elsewhere)])
        if function is _ATEN._fused_sdp_choice.default:
            return int(SDPBackend.MATH.value)  # the CPU's own kernels are chosen for tensors of the CPU alone
    if function is _ATEN.copy_.default:
        there = isinstance(args[0], Elsewhere)
    if kwargs.get("device") is not None:
        moved = there != (torch.device(kwargs["device"]) == _THERE)
        there, kwargs = there != moved, {**kwargs, "device": torch.device("cpu")}
        if moved and function is _ATEN._to_copy.default:
            found = function(*tree_map(_held, args), **kwargs)
            return Elsewhere(found) if there else found
    found = function(*tree_map(_held, args), **tree_map(_held, kwargs))
    return return_and_correct_aliasing(function, args, kwargs, tree_map(_elsewhere, found)) if there else found


def _check(function: Any, args: Any, strays: list[Tensor]) -> None:
    scalars = torch.Tag.pointwise in function.tags and all(one.dim() == 0 for one in strays)
    indices = function in _INDEXED and isinstance(args[0], Elsewhere) and all(
        any(one is index for index in args[1]) for one in strays
    )
    if strays and not scalars and not indices and function is not _ATEN.copy_.default:
        shapes = ", ".join(str(tuple(one.shape)) for one in strays)
        raise Mixed(f"{function} has arguments on the CPU, of shape {shapes}, beside others that are elsewhere")


def _held(one: Any) -> Any:
    return one.held if isinstance(one, Elsewhere) else one


def _elsewhere(one: Any) -> Any:
    return Elsewhere(one) if isinstance(one, Tensor) else one
