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
            self._give_pairs(states, first, second)
            yield
        finally:
            self._take_back()

    def _give_pairs(self, states: Tensor, first: Tensor, second: Tensor) -> None:
        for (kind, slots), maps in self._groups.items():
            layers = [one.layer for one in maps]
            sizes = [layer.weight.shape[-2] for layer in layers]
            if kind is Linear:
                parts = torch.cat([layer.weight for layer in layers]).chunk(slots, 1)
                bias = torch.cat([_bias(layer) for layer in layers])
                alone = [torch.nn.functional.linear(states, part) for part in parts]
                outs = (alone[0] + bias).index_select(0, first)
                if slots > 1:
                    outs = outs + alone[1].index_select(0, second)
            else:
                weight = torch.cat([layer.weight for layer in layers], 1)
                bias = torch.cat([_bias(layer) for layer in layers], 1)
                by_slot = [torch.nn.functional.linear(states, w, b) for w, b in zip(weight, bias, strict=True)]
                outs = torch.stack([o.index_select(0, at) for o, at in zip(by_slot, (first, second), strict=False)], -2)
            for layer, out in zip(layers, outs.split(sizes, -1), strict=True):
                give(layer, out)


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
        read.flatten(-2), torch.cat([layer.weight for layer in layers]), torch.cat([_bias(layer) for layer in layers])
    )


def _by_slot(read: Tensor, layers: Sequence[Linear | SlotLinear]) -> Tensor:
    """(B, k, D) -> (B, k, sum of outputs)."""
    weight = torch.cat([layer.weight for layer in layers], 1).transpose(1, 2)
    bias = torch.cat([_bias(layer) for layer in layers], 1).unsqueeze(1)
    return torch.baddbmm(bias, read.transpose(0, 1), weight).transpose(0, 1)


def _bias(layer: Linear | SlotLinear) -> Tensor:
    return layer.weight.new_zeros(()).expand(layer.weight.shape[:-1]) if layer.bias is None else layer.bias
