"""What an operator costs, counted on the operator itself; the closed forms in its facts must agree."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fusionnas.feature import Feature
from fusionnas.operators.base import FusionOperator


def measured_parameters(cls: type[FusionOperator], inputs: int, width: int) -> int:
    """Weights and biases of a fresh operator."""
    return sum(parameter.numel() for parameter in cls(inputs, width).parameters())


def measured_macs(cls: type[FusionOperator], inputs: int, width: int, tokens: int | Sequence[int]) -> float:
    """Multiply-adds of its matrix products per sample, as ``torch.utils.flop_counter`` counts them.

    Elementwise work, normalisation, softmax and Fourier transforms are left out.

    Args:
        cls: the operator.
        inputs: number of inputs.
        width: channels D.
        tokens: of each input; operators that read vectors get one each.
    """
    lengths = [tokens] * inputs if isinstance(tokens, int) else list(tokens)
    features = []
    for length in lengths:
        mask = torch.ones(2, length if cls.sequence else 1, dtype=torch.bool)
        features.append(Feature(torch.ones(*mask.shape, width), mask, mask[:, 0]))
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        cls(inputs, width).eval()(features)
    # Two samples; a multiply-add counts as two operations.
    macs = counter.get_total_flops() / 4
    return int(macs) if macs == int(macs) else macs
