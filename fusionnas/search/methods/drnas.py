"""DrNAS: weights are drawn from Dirichlet distributions whose concentrations are learned."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from fusionnas.search.gradient import Relaxed
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.relaxed import relaxed_search
from fusionnas.space.schema import Section
from fusionnas.supernet import Alphas, Mixing

FACTS = MethodFacts(
    summary="mixes by samples of Dirichlet(elu(alpha) + 1), anchored to the flat one; decode of the largest means",
    source='Chen et al., "DrNAS: Dirichlet Neural Architecture Search", 2021, arXiv:2006.10355',
    departs="no progressive widening or pruning; alphas stay still for search.warmup of the epochs",
    relaxed=True,
)


class Options(Section):
    """The anchor."""

    anchor: float = Field(
        1e-3, ge=0, examples=[10.0],
        description="Weight of the divergence from the flat distribution in the alphas' loss.",
    )  # fmt: skip


@register_method("drnas", FACTS, Options)
def drnas(task: Task) -> Found:
    """One supernet, decoded by the largest mean weights."""
    anchor = task.options(Options).anchor

    def penalty(alphas: Alphas, mixing: Mixing) -> Tensor:
        rows = [divergence(concentration(alpha)) for alpha in alphas.groups().values()]
        return anchor * torch.cat(rows).sum()

    return relaxed_search(task, Relaxed.of(
        task.space.file.search, lambda alphas, share: alphas.mixing(sample),
        settled=lambda alphas: alphas.mixing(lambda alpha: _normalized(concentration(alpha))), penalty=penalty,
    ))  # fmt: skip


def concentration(alpha: Tensor) -> Tensor:
    """``elu(alpha) + 1`` of open choices, 0 of closed ones."""
    return torch.where(alpha > -torch.inf, functional.elu(alpha) + 1 + 1e-4, 0.0)


def sample(alpha: Tensor) -> Tensor:
    """A draw per row, differentiable (implicit reparametrisation of the gamma variables that make it)."""
    open_ = alpha > -torch.inf
    return _normalized(torch._standard_gamma(torch.where(open_, concentration(alpha), 1.0)).clamp_min(1e-6) * open_)


def divergence(concentrations: Tensor) -> Tensor:
    """Kullback-Leibler divergence of each row's Dirichlet distribution from the flat one over its open choices."""
    open_ = (concentrations > 0).to(concentrations.dtype)
    c, total = torch.where(open_ > 0, concentrations, 1.0), concentrations.sum(-1)
    inner = ((c - 1) * (torch.digamma(c) - torch.digamma(total).unsqueeze(-1)) * open_).sum(-1)
    return torch.lgamma(total) - (torch.lgamma(c) * open_).sum(-1) - torch.lgamma(open_.sum(-1)) + inner


def _normalized(weights: Tensor) -> Tensor:
    return weights / weights.sum(-1, keepdim=True)
