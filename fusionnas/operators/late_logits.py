"""Late fusion of logits: their weighted mean."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator
from fusionnas.operators.decision import Decision, shares


@register_operator("late_logits")
class LateLogits(Decision, FusionOperator):
    """``sum_j a_j (W_j x_j + b_j)``, a softmax over the experts that are there: k vectors -> logits."""

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="logits = sum_j a_j l_j; l_j = W_j x_j + b_j; a = softmax(w) over the inputs that are there",
        source="Liang et al., Foundations and Trends in Multimodal Machine Learning, 2022, arXiv:2209.03430, late "
        "fusion",
        departs="weights are learned and start alike; the weights of absent inputs go to the others; only the last "
        "node of a network",
        parameters="k·C·(D + 1) + k, C logits",
        macs="k·C·D, C logits",
        rank=1,
        absent="its weight goes to the others",
    )

    def __init__(self, inputs: int, width: int, outputs: int | None = None) -> None:
        super().__init__(inputs, width, outputs)
        self.weights = nn.Parameter(torch.zeros(inputs))

    def decide(self, logits: Tensor, present: Tensor) -> Tensor:
        """The weighted mean of the experts' logits."""
        return (shares(self.weights, present).unsqueeze(-1) * logits).sum(-2)

    @classmethod
    def count_rule(cls, inputs: int, outputs: int) -> int:
        """One weight per expert."""
        return inputs
