"""GDAS: one sampled path per step, with gradients straight through the sample."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from fusionnas.search.gradient import Relaxed
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.relaxed import relaxed_search
from fusionnas.space.schema import Section
from fusionnas.supernet.mixing import softmax

FACTS = MethodFacts(
    summary="samples one choice everywhere by Gumbel-max, passes gradients straight through, cools down",
    source='Dong & Yang, "Searching for a Robust Neural Architecture in Four GPU Hours", 2019, arXiv:1910.04465',
    departs=(
        "alphas stay still for search.warmup of the epochs; an operator that was not drawn gives no gradient (the "
        "published code adds its weight to the output)"
    ),
    relaxed=True,
)


class Options(Section):
    """Temperatures."""

    hot: float = Field(10.0, gt=0, description="Temperature at the start.", examples=[1.0])
    cold: float = Field(0.1, gt=0, description="Temperature at the end, reached linearly.", examples=[5.0])


@register_method("gdas", FACTS, Options)
def gdas(task: Task) -> Found:
    """One supernet, decoded by the largest softmax weights."""
    options = task.options(Options)

    def relax(alpha: Tensor, share: float) -> Tensor:
        soft = gumbel_softmax(alpha, options.hot + (options.cold - options.hot) * share)
        hard = torch.zeros_like(soft).scatter(-1, soft.argmax(-1, keepdim=True), 1.0)
        return hard + soft - soft.detach()

    return relaxed_search(task, Relaxed.of(
        task.space.file.search, lambda alphas, share: alphas.mixing(lambda alpha: relax(alpha, share)),
        settled=lambda alphas: alphas.mixing(softmax),
    ))  # fmt: skip


def gumbel_softmax(alpha: Tensor, temperature: float) -> Tensor:
    """A sample of the concrete distribution (Maddison et al., 2017, arXiv:1611.00712), from torch's generator."""
    noise = -torch.empty_like(alpha).exponential_().log()
    return ((alpha + noise) / temperature).softmax(-1)
