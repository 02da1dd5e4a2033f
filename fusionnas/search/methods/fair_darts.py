"""FairDARTS: every choice has a weight of its own, and choices do not compete."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from fusionnas.search.gradient import Relaxed
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.relaxed import relaxed_search
from fusionnas.space.schema import Section
from fusionnas.supernet import Alphas, Mixing

FACTS = MethodFacts(
    summary="sigmoid instead of softmax, and a loss that drives weights to zero or one",
    source='Chu et al., "Fair DARTS: Eliminating Unfair Advantages in Differentiable NAS", 2020, arXiv:1911.12126',
    departs=(
        "the zero-one loss is a sum over choices, not a mean, so that its pull on one does not depend on their number "
        "(10 / 112 choices = .09); alphas stay still for search.warmup of the epochs; the largest weights are decoded, "
        "where the paper keeps all that are above a threshold"
    ),
    relaxed=True,
)


class Options(Section):
    """The zero-one loss."""

    zero_one: float = Field(
        0.09, ge=0, description="Weight of the zero-one loss, the sum of -(weight - 1/2)² over choices.", examples=[0.0]
    )


@register_method("fair_darts", FACTS, Options)
def fair_darts(task: Task) -> Found:
    """One supernet, decoded by the largest weights."""
    weight = task.options(Options).zero_one

    def penalty(alphas: Alphas, mixing: Mixing) -> Tensor:
        flat = torch.cat([rows.flatten() for rows in mixing.groups().values()])
        return -weight * (flat - 0.5).square().sum()

    mix = Relaxed.of(task.space.file.search, lambda alphas, share: alphas.mixing(torch.sigmoid), penalty=penalty)
    return relaxed_search(task, mix)
