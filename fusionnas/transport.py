"""Optimal transport between the tokens of two modalities: which word belongs to which patch.

Log-domain Sinkhorn inside proximal steps: IPOT (Xie et al., "A fast proximal point method for computing exact
Wasserstein distance", UAI 2019, arXiv:1802.04307), as word-patch alignment uses it (Kim et al., "ViLT", ICML 2021,
arXiv:2102.03334). Departs from it: logarithms throughout, and padding is masked, not given a cost of 1e4, so that
nothing is lost in half precision and a row without a real token gives zeros; several Sinkhorn steps per proximal step;
at the end the plan is rounded to exact marginals (Altschuler et al., 2017, arXiv:1705.09634, algorithm 2).
"""

from __future__ import annotations

import torch
from torch import Tensor

from fusionnas.feature import Feature

STRENGTH, STEPS, BALANCING = 0.5, 20, 5


def cosine_cost(first: Feature, second: Feature) -> Tensor:
    """``1 - cos`` of all pairs of tokens, (B, N, M), in float32; 0 to 2."""
    a, b = (torch.nn.functional.normalize(f.values.float(), dim=-1) for f in (first, second))
    return 1 - a @ b.transpose(1, 2)


@torch.no_grad()
def transport(cost: Tensor, first: Tensor, second: Tensor, *, strength: float = STRENGTH, steps: int = STEPS) -> Tensor:
    """The plan (B, N, M) that moves even weights of the real tokens ``first`` (B, N) to those of ``second`` (B, M).

    Rows and columns sum to 1 / (number of real tokens); zero where either token is padding.

    Args:
        cost: (B, N, M).
        first, second: masks, True = real.
        strength: beta of the proximal steps; smaller comes nearer to the optimum per step.
        steps: proximal steps.
    """
    real = first.unsqueeze(2) & second.unsqueeze(1)
    nothing = torch.finfo(torch.float32).min / 4
    rows = torch.where(first, -first.sum(1, keepdim=True).clamp_min(1).float().log(), nothing).unsqueeze(2)
    columns = torch.where(second, -second.sum(1, keepdim=True).clamp_min(1).float().log(), nothing).unsqueeze(1)
    kernel = torch.where(real, -cost.float() / strength, nothing)
    plan = torch.where(real, 0.0, nothing)
    for _ in range(steps):
        plan = torch.where(real, plan + kernel, nothing)
        for _ in range(BALANCING):
            plan = torch.where(real, plan - plan.logsumexp(2, keepdim=True) + rows, nothing)
            plan = torch.where(real, plan - plan.logsumexp(1, keepdim=True) + columns, nothing)
    return torch.where(real, _rounded(plan.exp(), rows.exp(), columns.exp()), 0.0)


def _rounded(plan: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The nearest plan (B, N, M) with marginals ``rows`` (B, N, 1) and ``columns`` (B, 1, M): the rest is spread."""
    plan = plan * (rows / plan.sum(2, keepdim=True).clamp_min(1e-30)).clamp_max(1)
    plan = plan * (columns / plan.sum(1, keepdim=True).clamp_min(1e-30)).clamp_max(1)
    # What is missing is never less than nothing but for rounding, and then nothing is left to divide by.
    more = (rows - plan.sum(2, keepdim=True)).clamp_min(0)
    wide = (columns - plan.sum(1, keepdim=True)).clamp_min(0)
    return plan + more * wide / more.sum(1, keepdim=True).clamp_min(1e-30)


def distance(first: Feature, second: Feature) -> Tensor:
    """Cost of the plan per sample, (B,); differentiable in the tokens, not through the plan."""
    cost = cosine_cost(first, second)
    return (cost * transport(cost.detach(), first.mask, second.mask)).sum((1, 2))
