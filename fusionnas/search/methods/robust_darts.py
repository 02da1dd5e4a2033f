"""RobustDARTS: the search ends when the loss becomes sharp in the alphas."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from fusionnas.search.gradient import Moment, Relaxed, Row
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.relaxed import relaxed_search
from fusionnas.search.second_order import twice_differentiable
from fusionnas.space.schema import Section
from fusionnas.supernet.mixing import softmax
from fusionnas.training.scoring import nll

FACTS = MethodFacts(
    summary="DARTS that stops, and goes back, when the largest eigenvalue of the alphas' Hessian has grown too fast",
    source='Zela et al., "Understanding and Robustifying Differentiable Architecture Search", 2020, arXiv:1909.09656, '
    "section 4 (DARTS-ES)",
    departs=(
        "the eigenvalue is measured on the first 256 samples of the alpha part by 10 power iterations with exact "
        "Hessian products; alphas go back, weights do not"
    ),
    relaxed=True,
)
_SAMPLES, _ITERATIONS = 256, 10


class Options(Section):
    """When to stop."""

    window: int = Field(2, ge=1, description="Epochs that are averaged, and that the alphas go back.", examples=[1])
    threshold: float = Field(
        0.75, gt=0, description="Stop when mean eigenvalue before / now falls below it.", examples=[1e9]
    )


@register_method("robust_darts", FACTS, Options)
def robust_darts(task: Task) -> Found:
    """One supernet, decoded by the largest weights at the time to which the alphas went back."""
    options, warmup = task.options(Options), task.space.file.search.warmup

    def after(moment: Moment) -> Row:
        if moment.share < warmup:
            return {}
        value = largest_eigenvalue(moment)
        rows = [row for row in moment.history if "eigenvalue" in row]
        values = [row["eigenvalue"] for row in rows] + [value]
        ratio = growth(values, options.window)
        stop = ratio is not None and ratio < options.threshold
        if stop:
            moment.alphas.start_from(rows[-options.window]["alphas"])
        return {"eigenvalue": value, "eigenvalue_ratio": ratio, "stopped": stop}

    return relaxed_search(task, Relaxed.of(
        task.space.file.search, lambda alphas, share: alphas.mixing(softmax), after=after,
        stops=lambda history: bool(history) and history[-1].get("stopped", False),
    ))  # fmt: skip


def growth(values: Sequence[float], window: int) -> float | None:
    """Mean of the ``window`` values before the last ones over the mean of those; None: too few yet."""
    if len(values) < 2 * window:
        return None
    return sum(values[-2 * window : -window]) / max(sum(values[-window:]), 1e-12)


def largest_eigenvalue(moment: Moment) -> float:
    """Of the Hessian of the loss on the alpha part in the alphas, by absolute value."""
    supernet, alphas = moment.supernet.eval(), moment.alphas
    batch = moment.data.alpha.rows(torch.arange(min(_SAMPLES, len(moment.data.alpha))))
    learned = [parameter for parameter in alphas.parameters() if parameter.requires_grad]
    with twice_differentiable():
        loss = nll(supernet(batch.inputs, alphas.mixing(softmax)), batch.target).mean()
        gradients = torch.autograd.grad(loss, learned, create_graph=True, materialize_grads=True)
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    vector, value = torch.randn(len(flat)), 0.0
    for _ in range(_ITERATIONS):
        vector = vector / vector.norm().clamp_min(1e-12)
        product = _product(flat, learned, vector)
        value, vector = float(vector @ product), product
    return abs(value)


def _product(gradient: Tensor, learned: list[torch.nn.Parameter], vector: Tensor) -> Tensor:
    rows = torch.autograd.grad(gradient @ vector, learned, retain_graph=True, materialize_grads=True)
    return torch.cat([row.flatten() for row in rows])
