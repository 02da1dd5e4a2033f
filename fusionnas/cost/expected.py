"""The expected cost of a mixture of choices, differentiable: what a gradient search pays for.

Slots, operators and layers are taken as drawn independently with their weights as probabilities. At one-hot weights
the result is the cost of the discrete architecture.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusionnas.cost.costs import Costs, Measure
from fusionnas.cost.parts import operator_part
from fusionnas.operators import operators

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace
    from fusionnas.supernet import Mixing


def expected_cost(space: SearchSpace, costs: Costs, measure: Measure = "latency_ms") -> Callable[[Mixing], Tensor]:
    """A function that gives the expected cost of an architecture drawn from a mixing, with gradients to its weights.

    Args:
        space: the space of the mixings.
        costs: measured parts of that space.
        measure: which cost.
    """
    return _Expectation(space, costs, measure)


class _Expectation:
    """Prices as tensors; dimensions: P points, S slots, O operators, E encoder levels of all modalities, L lengths."""

    def __init__(self, space: SearchSpace, costs: Costs, measure: Measure) -> None:
        self._space = space
        prices = {name: float(getattr(part, measure)) for name, part in costs.parts.items()}
        points, modalities = space.points(), space.file.modalities
        tokens = [costs.signature.inputs[point.modality].tokens for point in points]
        lengths = sorted({1, *tokens})
        self._network, self._readout = prices["network"], prices["readout"]
        self._pool = torch.tensor([prices.get(f"pool/{n}", 0.0) for n in lengths], dtype=torch.float64)
        self._length = torch.tensor([[float(n == t) for n in lengths] for t in tokens], dtype=torch.float64)
        levels = [(name, level) for name, modality in modalities.items() for level in range(modality.levels + 1)]
        deep = [[float(p.modality == name and p.level >= level) for name, level in levels] for p in points]
        self._deep = torch.tensor(deep, dtype=torch.float64)  # (P, E): whether reading the point runs the level
        self._encoders = [
            [prices[f"stem/{name}"] + prices.get(f"wide/{name}", 0.0)]
            if level == 0
            else [prices[f"layer/{name}/{encoder}"] for encoder in modalities[name].encoder]
            for name, level in levels
        ]
        names, slots = space.file.fusion.operators, space.file.fusion.inputs[1]
        table = [
            prices.get(operator_part(name, k, a, b), 0.0)
            for name, k, a, b in product(names, range(slots + 1), lengths, lengths)
        ]
        shape = (len(names), slots + 1, len(lengths), len(lengths))
        self._operators = torch.tensor(table, dtype=torch.float64).reshape(shape)
        self._decides = torch.tensor([float(operators[name].decides) for name in names], dtype=torch.float64)
        self._sequence = torch.tensor([float(operators[name].sequence) for name in names], dtype=torch.float64)

    def __call__(self, mixing: Mixing) -> Tensor:
        output, operator = mixing.output.double(), [gamma.double() for gamma in mixing.operators]
        slots = [alpha.double() for alpha in mixing.slots]
        points = len(self._length)
        run = _runs(output[points:], [one[:, points:-1] for one in slots])
        lengths, vector = [*self._length], (torch.arange(len(self._pool)) == 0).double()
        # A node that decides gives logits: no readout follows it.
        decides = sum((output[points + i] * (gamma @ self._decides) for i, gamma in enumerate(operator)), 0.0)
        whole = self._network + (1 - decides) * self._readout + self._encoding(mixing, output, slots, run)
        for node, (slot, gamma) in enumerate(zip(slots, operator, strict=True)):
            whole = whole + run[node] * self._node(slot, gamma, torch.stack(lengths))
            sequence = gamma @ self._sequence
            first = _given(slot[0, :-1] @ torch.stack(lengths))
            lengths.append(sequence * first + (1 - sequence) * vector)
        return whole + output @ torch.stack(lengths) @ self._pool

    def _encoding(self, mixing: Mixing, output: Tensor, slots: list[Tensor], run: list[Tensor]) -> Tensor:
        points = len(self._length)
        missed = 1 - output[:points] @ self._deep
        for node, slot in zip(run, slots, strict=True):
            missed = missed * (1 - node * (1 - (1 - slot[:, :points] @ self._deep).prod(0)))
        whole, level = output.new_zeros(()), 0
        for name, modality in self._space.file.modalities.items():
            rows = [None, *mixing.layers[name].double()] if modality.levels else [None]
            for row in rows:
                prices = self._pool.new_tensor(self._encoders[level])
                whole = whole + (1 - missed[level]) * (prices[0] if row is None else prices @ row)
                level += 1
        return whole

    def _node(self, slots: Tensor, gamma: Tensor, lengths: Tensor) -> Tensor:
        filled = 1 - slots[:, -1]  # probability that a slot reads anything
        tokens = slots[:, :-1] @ lengths  # (S, L)
        rules = self._space.rules.values()
        counts = torch.stack([_counts(filled, rule.fewest, rule.most) for rule in rules])
        pools = (1 - gamma @ self._sequence) * (tokens @ self._pool).sum()
        return pools + torch.einsum(
            "o,ok,a,b,okab->", gamma, counts, _given(tokens[0]), _given(tokens[1:].sum(0)), self._operators
        )


def _runs(output: Tensor, slots: list[Tensor]) -> list[Tensor]:
    """Probability that each node is read by the output, directly or through later nodes.

    ``output`` (nodes,) and ``slots`` (S, earlier nodes) are weights of reading nodes.
    """
    run: list[Tensor] = []
    for node in reversed(range(len(slots))):
        missed = 1 - output[node]
        for later, probability in enumerate(run):
            missed = missed * (1 - probability * (1 - (1 - slots[len(slots) - 1 - later][:, node]).prod()))
        run.append(1 - missed)
    return run[::-1]


def _given(weights: Tensor) -> Tensor:
    """Probabilities of lengths, given that something is read."""
    return weights / weights.sum().clamp_min(1e-12)


def _counts(filled: Tensor, fewest: int, most: int) -> Tensor:
    """Probability of each number of inputs 0..S, slots being filled independently; an operator reads ``most`` at most.

    An operator that needs ``fewest`` inputs gets them.
    """
    chances = torch.cat((filled.new_ones(1), filled.new_zeros(len(filled))))
    for slot in filled[:most]:
        chances = chances * (1 - slot) + torch.cat((chances.new_zeros(1), chances[:-1])) * slot
    raised = torch.cat((chances.new_zeros(fewest), chances[: fewest + 1].sum(0, keepdim=True), chances[fewest + 1 :]))
    return raised
