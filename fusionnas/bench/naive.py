"""A supernet's forward pass as published code writes it: loops over candidates and operators, one product at a time.

It is what the packed supernet is compared with, in value and in time, and is used for nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fusionnas.feature import Feature, pool
from fusionnas.network import run_operator
from fusionnas.operators.base import FusionOperator
from fusionnas.supernet import Mixing, Supernet


def naive_logits(supernet: Supernet, inputs: Mapping[str, Feature], mixing: Mixing) -> Tensor:
    """The logits of ``supernet(inputs, mixing)``, (B, C); vector operators, every modality present, no wide path."""
    by_point = supernet.encode(inputs, mixing)
    states = [pool(by_point[point]) for point in supernet.space.points()]
    for node, slots, gamma in zip(supernet.nodes, mixing.slots, mixing.operators, strict=True):
        assert isinstance(node, nn.ModuleDict)
        mixed = [sum((w * x for w, x in zip(slot, states, strict=False)), torch.zeros(())) for slot in slots]
        outputs = []
        for operator in node.values():
            assert isinstance(operator, FusionOperator)
            outputs.append(pool(run_operator(operator, [Feature.vector(x) for x in mixed[: operator.inputs]])))
        states.append(sum((w * x for w, x in zip(gamma, outputs, strict=True)), torch.zeros(())))
    fused = sum((w * x for w, x in zip(mixing.output, states, strict=True)), torch.zeros(()))
    logits: Tensor = supernet.readout(fused)
    return logits


def naive_pairs(operators: Mapping[str, FusionOperator], states: Tensor, weights: Tensor, gamma: Tensor) -> Tensor:
    """What ``mix_pairs`` gives, pair by pair and operator by operator."""
    total, pairs = torch.zeros(()), torch.combinations(torch.arange(len(states))).tolist()
    for weight, (i, j) in zip(weights, pairs, strict=True):
        for operator, share in zip(operators.values(), gamma, strict=True):
            fused = operator([Feature.vector(states[i]), Feature.vector(states[j])])
            total = total + weight * share * pool(fused)
    return total
