"""Early fusion of aligned sequences: what the inputs hold at one step is put side by side, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from fusionnas.feature import Feature
from fusionnas.layers import Linear
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator
from fusionnas.operators.concat import side_by_side
from fusionnas.operators.steps import aligned, step_result


@register_operator("concat_steps")
class ConcatSteps(FusionOperator):
    """``z_t = W [n(x_1t); ...; n(x_kt)] + b``: k sequences (..., B, T_j, D) -> (..., B, T, D), T the longest.

    A step is real where any input's is; inputs that end earlier, or lack the step, enter as zeros. A vector goes with
    every step.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="z_t = W [n(x_1t); ...; n(x_kt)] + b at every step t, n the normalisation over channels",
        source="Liang et al., Foundations and Trends in Multimodal Machine Learning, 2022, arXiv:2209.03430, early "
        "fusion of aligned sequences (the input of an early-fusion LSTM)",
        departs="any lengths; a step that an input lacks enters as zeros; each input is normalised; the recurrent "
        "network that follows is the task of the next operator or of the readout's mean",
        parameters="k·D² + D",
        macs="Tm·k·D², Tm tokens of the longest input",
        rank=2,
        absent="zeros",
    )
    sequence: ClassVar[bool] = True

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.project = Linear(inputs * width, width)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k sequences -> one, step by step."""
        values, real = aligned(features)
        return step_result(self.project(side_by_side(torch.stack(values, -2))), real.any(-1))

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k D^2 + D``."""
        return inputs * width**2 + width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``k D^2`` per step of the longest input."""
        return max(tokens) * inputs * width**2
