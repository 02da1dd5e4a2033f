"""Mixing over pairs of inputs instead of over each input: no slot can blend two modalities into one.

A node is ``sum_{i<j} w_ij sum_o g_o op_o(x_i, x_j)``: n (n - 1) / 2 pairs through every operator. What an operator
does first is linear in its inputs, ``W_1 x_i + W_2 x_j``, so it is computed on the n states and added per pair, not on
the pairs; all pairs run through the rest in one pass. The sums are those of the pairs one by one, up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fusionnas.feature import all_there
from fusionnas.operators.base import FusionOperator, Slots
from fusionnas.supernet.packing import Packing


def mix_pairs(
    operators: Mapping[str, FusionOperator], packing: Packing, states: Tensor, weights: Tensor, gamma: Tensor
) -> Tensor:
    """One node's output (B, D).

    Args:
        operators: by name; all read two vectors.
        packing: of these operators, two slots.
        states: (n, B, D), all there.
        weights: (n (n - 1) / 2,) of the pairs i < j, in the order of ``torch.combinations``.
        gamma: (operators,).
    """
    first, second = torch.combinations(torch.arange(len(states))).unbind(1)
    values = torch.stack((states.index_select(0, first), states.index_select(0, second)), -2)
    pairs = Slots(values, all_there(*values.shape[:-1]))
    with packing.given_pairs(states, first, second):
        # Over pairs first: that leaves one vector per sample and operator to weigh.
        mixed = torch.stack([weights @ operator(pairs).values.flatten(1) for operator in operators.values()])
    return (gamma @ mixed).reshape(states.shape[1:])
