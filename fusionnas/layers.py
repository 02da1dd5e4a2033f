"""Layers that also run stacked: their parameters may carry a leading member dimension G.

``stack_modules`` turns G modules of one form into one module whose parameters are (G, ...) and which
maps (G, B, T, D) to (G, B, T, D'): many small networks trained in one pass. An operator built from
these layers and from elementwise operations is stackable; code is written once for both cases.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Linear(nn.Module):
    """``x W^T + b`` over the last dimension, for one module or for G stacked ones.

    Initialised with weight variance ``gain^2 / fan_in``, so unit-variance inputs give outputs of
    standard deviation ``gain``; bias zero.

    Args:
        fan_in: channels in.
        fan_out: channels out.
        bias: whether to add one.
        gain: standard deviation of the output for unit-variance input.

    Attributes:
        given: what the next call returns instead of computing it: the same product, computed together with others.
    """

    given: Tensor | None = None

    def __init__(self, fan_in: int, fan_out: int, *, bias: bool = True, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in) * (gain / math.sqrt(fan_in)))
        self.bias = nn.Parameter(torch.zeros(fan_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., fan_in) -> (..., fan_out); stacked: (G, ..., fan_in) -> (G, ..., fan_out)."""
        given = self.given
        if given is not None:
            take_back(self)
            return given
        if self.weight.dim() == 2:
            return functional.linear(x, self.weight, self.bias)
        members, fan_out, fan_in = self.weight.shape
        out = _stacked_product(x.reshape(members, -1, fan_in), self.weight, self.bias)
        return out.reshape(*x.shape[:-1], fan_out)


class SlotLinear(nn.Module):
    """One linear map per slot, all in one batched product: slot j of the input meets ``W_j`` and ``b_j`` alone.

    Initialised like :class:`Linear`. Parameters are (slots, fan_out, fan_in) and (slots, fan_out).

    Args:
        slots: number of separate maps k.
        fan_in: channels in.
        fan_out: channels out.
        gain: standard deviation of the output for unit-variance input.

    Attributes:
        given: as for :class:`Linear`.
    """

    given: Tensor | None = None

    def __init__(self, slots: int, fan_in: int, *, fan_out: int, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(slots, fan_out, fan_in) * (gain / math.sqrt(fan_in)))
        self.bias = nn.Parameter(torch.zeros(slots, fan_out))

    def forward(self, x: Tensor) -> Tensor:
        """(..., k, fan_in) -> (..., k, fan_out); stacked: (G, ..., k, fan_in) -> (G, ..., k, fan_out)."""
        given = self.given
        if given is not None:
            take_back(self)
            return given
        return self._alone(x) if self.weight.dim() == 3 else self._stacked(x)

    def _alone(self, x: Tensor) -> Tensor:
        slots, fan_out, fan_in = self.weight.shape
        rows = x.reshape(-1, slots, fan_in).transpose(0, 1)
        out = torch.baddbmm(self.bias.unsqueeze(1), rows, self.weight.transpose(1, 2))
        return out.transpose(0, 1).reshape(*x.shape[:-1], fan_out)

    def _stacked(self, x: Tensor) -> Tensor:
        """Slots lie apart in memory, so that what follows can read each at once."""
        fan_out, fan_in = self.weight.shape[-2:]
        apart = torch.stack(x.unbind(-2), 1)  # a transposed copy takes three times as long
        rows = apart.reshape(apart.shape[0] * apart.shape[1], -1, fan_in)
        out = _stacked_product(rows, self.weight.flatten(0, 1), self.bias.flatten(0, 1))
        return out.reshape(*apart.shape[:-1], fan_out).movedim(1, -2)


class _StackedProduct(torch.autograd.Function):
    """``x W^T + b``, N products at once; its own, because torch's gradient of W lies transposed and is copied over."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """(N, B, I), (N, O, I) and (N, O) or None -> (N, B, O)."""
        ctx.save_for_backward(x, weight)
        transposed = weight.transpose(1, 2)
        return torch.bmm(x, transposed) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, transposed)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Of inputs that need none: None."""
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        on_x, on_weight, on_bias = ctx.needs_input_grad
        return (
            torch.bmm(gradient, weight) if on_x else None,
            torch.bmm(gradient.transpose(1, 2), x) if on_weight else None,
            gradient.sum(1) if on_bias else None,
        )


def _stacked_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = _StackedProduct.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return out


class LayerNorm(nn.Module):
    """Layer normalisation over the last dimension, for one module or for G stacked ones."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        if self.weight.dim() == 1:
            return functional.layer_norm(x, x.shape[-1:], self.weight, self.bias)
        normal = functional.layer_norm(x, x.shape[-1:])
        return normal * per_member(self.weight, x) + per_member(self.bias, x)


@dataclass(frozen=True)
class Rows:
    """A part of a batch, where several processes share it.

    Attributes:
        own: the rows.
        whole: rows of the batch.
        weight: of the part's mean in that of the batch.
    """

    own: slice
    whole: int
    weight: float


class Dropout(nn.Module):
    """Dropout with one mask for all tokens of a sample: a channel is dropped for the whole series or kept.

    Source: Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks", 2016,
    arXiv:1512.05287. It also draws T times fewer random numbers, which took a third of a training step.

    Attributes:
        rows: which part of a batch comes in; masks are drawn for the whole, alike in all processes. None: all of it.
    """

    rows: Rows | None = None

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(..., T, D) -> (..., T, D); the identity in eval mode or at rate 0."""
        if not self.training or self.rate == 0:
            return x
        if self.rows is None:
            return x * functional.dropout(x.new_ones(*x.shape[:-2], 1, x.shape[-1]), self.rate)
        whole = x.new_ones(self.rows.whole, *x.shape[1:-2], 1, x.shape[-1])
        return x * functional.dropout(whole, self.rate)[self.rows.own]


def give(layer: Linear | SlotLinear, product: Tensor) -> None:
    """Have the layer's next call return ``product``."""
    if torch.compiler.is_compiling():
        layer.given = product
    else:
        vars(layer)["given"] = product  # as nn.Module sets attributes, it would take as long as the product


def take_back(layer: Linear | SlotLinear) -> None:
    """Take back what was given to the layer, if it still is there."""
    if torch.compiler.is_compiling():
        layer.given = None
    else:
        vars(layer).pop("given", None)


def per_member(parameter: Tensor, x: Tensor) -> Tensor:
    """A vector parameter (D,) or its stack (G, D), shaped to broadcast against x (..., D) or (G, ..., D)."""
    if parameter.dim() == 1:
        return parameter
    return parameter.reshape(parameter.shape[0], *([1] * (x.dim() - 2)), parameter.shape[-1])


def stack_modules(modules: Sequence[nn.Module]) -> nn.Module:
    """One module holding the parameters of all, each (G, ...); all must be of one form.

    The values are copied: training the stack leaves ``modules`` as they were. Buffers are those of the first: only
    constants, equal in all, have a place in such modules.
    """
    stacked = copy.deepcopy(modules[0])
    parameters = [dict(module.named_parameters()) for module in modules]
    for path in parameters[0]:
        owner, _, name = path.rpartition(".")
        values = torch.stack([member[path].detach() for member in parameters])
        setattr(stacked.get_submodule(owner), name, nn.Parameter(values))
    return stacked


def leading_block(narrow: Tensor, wide: Tensor) -> Tensor:
    """The leading block of ``wide`` in the shape of ``narrow``.

    An operator over k inputs is the leading block of the same operator over more inputs: parameters
    are laid out slot by slot.
    """
    return wide[tuple(slice(size) for size in narrow.shape)]
