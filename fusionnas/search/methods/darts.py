"""DARTS: alphas by gradient on held-out data, then the decode of exactly what was trained."""

from __future__ import annotations

from fusionnas.search.gradient import Relaxed
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.relaxed import relaxed_search
from fusionnas.supernet.mixing import softmax

FACTS = MethodFacts(
    summary="softmax mixture of all choices; alphas learned on held-out data; decode of the largest weights",
    source='Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", 2019, arXiv:1806.09055',
    departs=(
        "first order unless search.order says otherwise, and then exact; alphas start at zero and stay still for "
        "search.warmup of the epochs; every node has its own input slots, each a softmax over all fusion points and "
        "earlier nodes; the decode takes the best distinct inputs of the very slots that were trained; the readout's "
        "source is searched too"
    ),
    relaxed=True,
)


@register_method("darts", FACTS)
def darts(task: Task) -> Found:
    """One supernet, one finalist."""
    return relaxed_search(task, Relaxed.of(task.space.file.search, lambda alphas, share: alphas.mixing(softmax)))
