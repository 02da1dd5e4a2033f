"""Late fusion of probabilities: their weighted mean."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator
from fusionnas.operators.decision import Decision, as_logits, log_probabilities, shares


@register_operator("late_probabilities")
class LateProbabilities(Decision, FusionOperator):
    """``log sum_j a_j p_j``, p_j what expert j predicts: k vectors -> logits.

    The sum is taken in logarithms, so that experts that are sure of themselves overflow nothing.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="logits = log sum_j a_j p_j; p_j = softmax(W_j x_j + b_j); a = softmax(w) over the inputs that are "
        "there; two classes: the log-odds of sum_j a_j sigmoid(W_j x_j + b_j)",
        source="Kittler et al., On Combining Classifiers, IEEE TPAMI 1998, sum rule",
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
        """The logarithm of the mean probability."""
        known = log_probabilities(logits)
        known_shares = shares(self.weights, present).to(known.dtype)
        # The logarithm of a share of 0 is taken of 1 instead, so that its gradient is none and not NaN.
        log_shares = torch.where(present, known_shares, 1.0).log()
        lowest = torch.finfo(known.dtype).min
        mixed = torch.where(present.unsqueeze(-1), known + log_shares.unsqueeze(-1), lowest).logsumexp(-2)
        return as_logits(mixed, self.outputs)

    @classmethod
    def count_rule(cls, inputs: int, outputs: int) -> int:
        """One weight per expert."""
        return inputs
