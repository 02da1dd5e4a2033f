"""Late fusion as a product of experts: probabilities multiply."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionnas.layers import per_member
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator, where_present
from fusionnas.operators.decision import Decision, as_logits, log_probabilities


@register_operator("late_product")
class LateProduct(Decision, FusionOperator):
    """``sum_j w_j log p_j``, p_j what expert j predicts, weights 1 at first: k vectors -> logits.

    One expert that is sure rules a class out for all. An absent expert's factor is 1.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="logits = sum_j w_j log p_j; p_j = softmax(W_j x_j + b_j); two classes: the sum of the log-odds",
        source="Hinton, Training Products of Experts by Minimizing Contrastive Divergence, Neural Computation 2002",
        departs="trained by the task's loss; an exponent w_j per expert, 1 at first; only the last node of a network",
        parameters="k·C·(D + 1) + k, C logits",
        macs="k·C·D, C logits",
        rank=1,
        absent="its expert's factor is 1",
    )

    def __init__(self, inputs: int, width: int, outputs: int | None = None) -> None:
        super().__init__(inputs, width, outputs)
        self.weights = nn.Parameter(torch.ones(inputs))

    def decide(self, logits: Tensor, present: Tensor) -> Tensor:
        """The weighted sum of the experts' log-probabilities."""
        known = as_logits(log_probabilities(logits), self.outputs)
        weights = per_member(self.weights, known[..., 0]).unsqueeze(-1)
        return where_present(present.unsqueeze(-1), weights * known).sum(-2)

    @classmethod
    def count_rule(cls, inputs: int, outputs: int) -> int:
        """One exponent per expert."""
        return inputs
