"""Late fusion by stacking: a linear layer over all experts' predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from fusionnas.layers import Linear
from fusionnas.operators.base import FusionOperator, OperatorFacts, register_operator, where_present
from fusionnas.operators.decision import Decision, log_probabilities


@register_operator("late_stacking")
class LateStacking(Decision, FusionOperator):
    """``V [C p_1 - 1; ...; C p_k - 1] + c``, p_j what expert j predicts: k vectors -> logits.

    Predictions enter as how far they are from even odds, so that an absent expert, a zero, is an undecided one.
    """

    facts: ClassVar[OperatorFacts] = OperatorFacts(
        formula="logits = V [C p_1 - 1; ...; C p_k - 1] + c; p_j = softmax(W_j x_j + b_j); two classes: 2 p_j - 1, p_j "
        "the sigmoid",
        source="Wolpert, Stacked Generalization, Neural Networks 1992",
        departs="experts and the layer over them are trained together, not one after the other; absent inputs count as "
        "undecided; only the last node of a network",
        parameters="k·C·(D + 1) + k·C² + C, C logits",
        macs="k·C·D + k·C², C logits",
        rank=1,
        absent="its expert counts as undecided",
    )

    def __init__(self, inputs: int, width: int, outputs: int | None = None) -> None:
        super().__init__(inputs, width, outputs)
        self.over_experts = Linear(inputs * self.outputs, self.outputs)

    def decide(self, logits: Tensor, present: Tensor) -> Tensor:
        """The linear map of the experts' predictions."""
        known = log_probabilities(logits).exp()
        undecided = known.shape[-1] * known[..., : self.outputs] - 1
        predictions = where_present(present.unsqueeze(-1), undecided)
        return self.over_experts(predictions.to(logits.dtype).flatten(-2))  # type: ignore[no-any-return]

    @classmethod
    def count_rule(cls, inputs: int, outputs: int) -> int:
        """``k C^2 + C``."""
        return inputs * outputs**2 + outputs

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int], outputs: int | None = None) -> int:
        """``k C D + k C^2``; vectors, so ``tokens`` do not count."""
        classes = width if outputs is None else outputs
        return inputs * classes * (width + classes)
