"""Late fusion by vote: one expert, one vote."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator, where_present
from fusionnas.operators.decision import Decision, as_logits, log_probabilities
from fusionnas.operators.gated_hard import straight_through


@register_operator("late_vote")
class LateVote(Decision, FusionOperator):
    """``log (votes + 1/2) / (voters + C/2)``: k vectors -> logits. Absent inputs have no vote.

    Votes have no gradient; experts learn as if each gave its probabilities in place of its vote.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="logits = log((v + 1/2) / (n + C/2)); v counts the experts for whom W_j x_j + b_j is largest here; two "
        "classes: the log-odds",
        source="Lam & Suen, Application of Majority Voting to Pattern Recognition, IEEE TSMC-A 1997; half a vote added "
        "to each class as in Krichevsky & Trofimov, The Performance of Universal Encoding, 1981",
        departs="half a vote for every class keeps the log-loss finite; the gradient is that of probabilities in place "
        "of votes (straight-through); only the last node of a network",
        parameters="k·C·(D + 1), C logits",
        macs="k·C·D, C logits",
        rank=1,
        absent="its expert has no vote",
    )
    straight_through: ClassVar[bool] = True

    def decide(self, logits: Tensor, present: Tensor) -> Tensor:
        """The logarithms of the smoothed shares of votes."""
        known = log_probabilities(logits)
        votes = functional.one_hot(known.argmax(-1), known.shape[-1]).to(known.dtype)
        given = where_present(present.unsqueeze(-1), straight_through(votes, known.exp())).sum(-2)
        return as_logits(((given + 0.5) / (given.sum(-1, keepdim=True) + known.shape[-1] / 2)).log(), self.outputs)
