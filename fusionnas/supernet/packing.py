"""Packing: the first linear maps of a node's operators, computed in a few large products instead of many small ones.

Most operators begin with linear maps of their inputs: of all side by side (``Linear``), or of each by itself
(``SlotLinear``). In a supernet all operators of a node read the same mixed inputs, so maps of one kind are one product
over stacked weights. Which maps these are is found by looking: each operator runs once on random inputs. The sums are
those of the single maps, up to rounding.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fusionnas.layers import Linear, SlotLinear, give, take_back
from fusionnas.operators.base import FusionOperator, Slots

_PROBE = 6  # samples, some of which lack some input


@dataclass(frozen=True)
class FirstMap:
    """A linear map that an operator applies to its inputs as they come.

    Attributes:
        operator: name of the operator.
        layer: the map.
        slots: how many inputs it reads, from the first on.
    """

    operator: str
    layer: Linear | SlotLinear
    slots: int


class Packing:
    """The first maps of one node's operators.

    Args:
        operators: by name; those that read vectors.
        slots: inputs S of the node.
        width: channels D.
    """

    def __init__(self, operators: Mapping[str, FusionOperator], slots: int, width: int) -> None:
        found = [one for name, operator in operators.items() for one in first_maps(name, operator, slots, width)]
        self._groups: dict[tuple[type, int], list[FirstMap]] = {}
        for one in found:
            self._groups.setdefault((type(one.layer), one.slots), []).append(one)

    @contextmanager
    def given(self, values: Tensor, chosen: Container[str]) -> Iterator[None]:
        """Inside, the first maps of the ``chosen`` operators for mixed inputs (B, S, D) are with their layers.

        Every chosen operator may run once.
        """
        try:
            self._give(values, chosen)
            yield
        finally:
            self._take_back()

    def _give(self, values: Tensor, chosen: Container[str]) -> None:
        for (kind, slots), maps in self._groups.items():
            used = [one.layer for one in maps if one.operator in chosen]
            if len(used) < 2:
                continue
            read, sizes = values[:, :slots], [layer.weight.shape[-2] for layer in used]
            outs = _joint(read, used) if kind is Linear else _by_slot(read, used)
            for layer, out in zip(used, outs.split(sizes, -1), strict=True):
                give(layer, out)

    def _take_back(self) -> None:
        for maps in self._groups.values():
            for one in maps:
                take_back(one.layer)

    @contextmanager
    def given_pairs(self, states: Tensor, first: Tensor, second: Tensor) -> Iterator[None]:
        """As ``given``, for pairs of states (n, B, D): pair p reads ``first[p]`` and ``second[p]``.

        Every operator may run once, on all pairs, (P, B, 2, D).
        """
        try:
            for maps in self._groups.values():
                for one in maps:
                    give(one.layer, _on_pairs(one, states, first, second))
            yield
        finally:
            self._take_back()


def first_maps(name: str, operator: FusionOperator, slots: int, width: int) -> list[FirstMap]:
    """The maps that an operator applies, once per run, to its first inputs side by side."""
    calls: dict[Linear | SlotLinear, list[Tensor]] = {}

    def look(layer: Linear | SlotLinear, given: tuple[Tensor]) -> None:
        calls.setdefault(layer, []).append(given[0])

    layers = [layer for layer in operator.modules() if isinstance(layer, Linear | SlotLinear)]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    like = layers[0].weight if layers else torch.zeros(())
    inputs = min(slots, operator.inputs)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        present = torch.rand(_PROBE, inputs) > 0.3
        values = torch.randn(_PROBE, inputs, width).to(like) * present.unsqueeze(-1)
        operator(Slots(values, present))
    for hook in hooks:
        hook.remove()
    found = []
    for layer, given in calls.items():
        count = layer.weight.shape[-1] // width if isinstance(layer, Linear) else layer.weight.shape[0]
        read = values[:, :count].flatten(-2) if isinstance(layer, Linear) else values[:, :count]
        if len(given) == 1 and given[0].shape == read.shape and torch.equal(given[0], read):
            found.append(FirstMap(name, layer, count))
    return found


def _joint(read: Tensor, layers: Sequence[Linear | SlotLinear]) -> Tensor:
    """(B, k, D) -> (B, sum of outputs)."""
    return torch.nn.functional.linear(
        read.flatten(-2), _side_by_side([layer.weight for layer in layers], 0),
        _side_by_side([_bias(layer) for layer in layers], 0),
    )  # fmt: skip


def _by_slot(read: Tensor, layers: Sequence[Linear | SlotLinear]) -> Tensor:
    """(B, k, D) -> (B, k, sum of outputs)."""
    weight = _side_by_side([layer.weight for layer in layers], 1).transpose(1, 2)
    bias = _side_by_side([_bias(layer) for layer in layers], 1).unsqueeze(1)
    return torch.baddbmm(bias, read.transpose(0, 1), weight).transpose(0, 1)


def _on_pairs(one: FirstMap, states: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The map of pairs (P, B, k, D) of states (n, B, D), computed on the states: (P, B, O), or (P, B, k, O) by slot."""
    layer, linear = one.layer, torch.nn.functional.linear
    if isinstance(layer, Linear):
        parts = layer.weight.chunk(one.slots, 1)
        outs = linear(states, parts[0], layer.bias).index_select(0, first)
        return outs if one.slots == 1 else outs.add_(linear(states, parts[1]).index_select(0, second))
    slots = [linear(states, weight, bias) for weight, bias in zip(layer.weight, layer.bias, strict=True)]
    places = torch.stack((first, second + len(states)), 1)[:, : one.slots]
    outs = torch.cat(slots).index_select(0, places.flatten())
    return outs.reshape(*places.shape, *outs.shape[1:]).movedim(1, -2)


class _SideBySide(torch.autograd.Function):
    """``torch.cat``; its own, because the gradient's gradient of that adds up as many tensors of full size as parts."""

    @staticmethod
    def forward(ctx: Any, dim: int, *parts: Tensor) -> Tensor:
        """Parts of one shape but for ``dim``."""
        ctx.dim, ctx.sizes = dim, [part.shape[dim] for part in parts]
        return torch.cat(parts, dim)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Its cut."""
        return None, *gradients[0].split(ctx.sizes, ctx.dim)


def _side_by_side(parts: Sequence[Tensor], dim: int) -> Tensor:
    if torch.compiler.is_compiling():
        return torch.cat(list(parts), dim)
    joined: Tensor = _SideBySide.apply(dim, *parts)  # type: ignore[no-untyped-call]
    return joined


def _bias(layer: Linear | SlotLinear) -> Tensor:
    return layer.weight.new_zeros(()).expand(layer.weight.shape[:-1]) if layer.bias is None else layer.bias
