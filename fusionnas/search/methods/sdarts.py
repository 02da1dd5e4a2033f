"""SmoothDARTS: weights train under perturbed alphas, so that the loss is flat around them."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from fusionnas.search.gradient import Loss, Relaxed
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.relaxed import relaxed_search
from fusionnas.space.schema import Section
from fusionnas.supernet import Alphas, Mixing
from fusionnas.supernet.mixing import softmax

FACTS = MethodFacts(
    summary="DARTS whose weights train with randomly or adversarially perturbed mixtures, more and more so",
    source='Chen & Hsieh, "Stabilizing Differentiable Architecture Search via Perturbation-based Regularization", '
    "2020, arXiv:2002.05283",
    departs="perturbed weights are cut at zero and scaled to sum to one; perturbation begins after search.warmup",
    relaxed=True,
)


class Options(Section):
    """The perturbation."""

    perturbation: Literal["random", "adversarial"] = Field(
        "random", description="Uniform, or by ascent on the training loss.", examples=["adversarial"]
    )
    radius: float = Field(0.3, gt=0, le=1, description="Largest change of a weight at the end.", examples=[0.9])
    ascents: int = Field(3, ge=1, description="Steps of ascent (adversarial).", examples=[1])


@register_method("sdarts", FACTS, Options)
def sdarts(task: Task) -> Found:
    """One supernet, decoded by the largest weights."""
    options, warmup = task.options(Options), task.space.file.search.warmup

    def weights(alphas: Alphas, share: float, loss: Loss) -> Mixing:
        mixing = alphas.mixing(softmax)
        if share < warmup:
            return mixing
        # From a tenth of the radius to the whole, as published (.03 to .3).
        radius = options.radius * (0.1 + 0.9 * (share - warmup) / max(1 - warmup, 1e-9))
        changes = {name: torch.empty_like(rows).uniform_(-radius, radius) for name, rows in mixing.groups().items()}
        for _ in range(options.ascents if options.perturbation == "adversarial" else 0):
            changes = _ascended(mixing, changes, loss, radius, options.ascents)
        return _perturbed(mixing, changes)

    relaxed = Relaxed.of(task.space.file.search, lambda alphas, share: alphas.mixing(softmax), weights=weights)
    return relaxed_search(task, relaxed)


def _ascended(
    mixing: Mixing, changes: dict[str, Tensor], loss: Loss, radius: float, ascents: int
) -> dict[str, Tensor]:
    with torch.enable_grad():
        leaves = {name: change.requires_grad_() for name, change in changes.items()}
        found = torch.autograd.grad(loss(_perturbed(mixing, leaves)), list(leaves.values()), materialize_grads=True)
    step = 2 * radius / ascents
    moved = zip(leaves.items(), found, strict=True)
    return {name: (leaf.detach() + step * g.sign()).clamp(-radius, radius) for (name, leaf), g in moved}


def _perturbed(mixing: Mixing, changes: dict[str, Tensor]) -> Mixing:
    groups = {}
    for name, rows in mixing.groups().items():
        moved = (rows + changes[name]).clamp_min(1e-6) * (rows > 0)  # what is closed stays closed
        groups[name] = moved / moved.sum(-1, keepdim=True)
    return Mixing.of(groups)
