"""SNAS: soft samples of choices; alphas and weights learn together on the same samples."""

from __future__ import annotations

from pydantic import Field

from fusionnas.search.gradient import Relaxed
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.methods.gdas import gumbel_softmax
from fusionnas.search.relaxed import relaxed_search
from fusionnas.space.schema import Section
from fusionnas.supernet.mixing import softmax

FACTS = MethodFacts(
    summary="mixes by samples of a cooling concrete distribution; alphas learn on training batches with the weights",
    source='Xie et al., "SNAS: Stochastic Neural Architecture Search", 2019, arXiv:1812.09926',
    departs=(
        "alphas stay still for search.warmup of the epochs; no resource term of its own; the alpha part is left unused "
        "by the search, as published, and trains the final networks"
    ),
    relaxed=True,
)


class Options(Section):
    """Temperatures."""

    hot: float = Field(2.5, gt=0, description="Temperature at the start.", examples=[0.5])
    cold: float = Field(0.1, gt=0, description="Temperature at the end, reached linearly.", examples=[2.0])


@register_method("snas", FACTS, Options)
def snas(task: Task) -> Found:
    """One supernet, decoded by the largest softmax weights."""
    options = task.options(Options)
    return relaxed_search(task, Relaxed.of(
        task.space.file.search,
        lambda alphas, share: alphas.mixing(
            lambda alpha: gumbel_softmax(alpha, options.hot + (options.cold - options.hot) * share)
        ),
        settled=lambda alphas: alphas.mixing(softmax), together=True, order="first",
    ))  # fmt: skip
