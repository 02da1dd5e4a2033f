"""A gate, and the ways in which its logit becomes a decision: hard, relaxed with gradients, or by a coin."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.feature import Feature, pool
from fusionnas.layers import Linear

HIDDEN = 32
CAP = 4.0
"""Largest absolute logit: a gate stays open to doubt, its gradient never vanishes."""

Draw = Callable[[str, Tensor, float], Tensor]
"""A gate's name, logits (B,) and chance under uniform random paths -> decisions (B,), 1 = go on."""


class Gate(nn.Module):
    """Pooled features (B, D) each, and which of them are there -> logit (B,); positive = go on.

    ``cap tanh((v gelu(W x + b) + a h) / cap)`` with 32 hidden units, after Xue & Marculescu, "Dynamic Multimodal
    Fusion", CVPR workshops 2023, arXiv:2204.00102, whose gates have 128. Ours are bounded; and h is the entropy of a
    linear guess at the target from the same features, which early exits go by (Teerapittayanon et al., "BranchyNet",
    2016, arXiv:1709.01686): about the loss that stopping here would leave.

    Args:
        features: number of features that it reads.
        width: channels D of each.
        outputs: logits C of the guess.
    """

    def __init__(self, features: int, width: int, outputs: int) -> None:
        super().__init__()
        self.guess = Linear(features * width, outputs)
        self.hidden = Linear(features * (width + 1), HIDDEN)
        self.logit = Linear(HIDDEN, 1, gain=0.1)
        self.doubt = nn.Parameter(torch.tensor(2.0))

    def forward(self, features: Sequence[Feature]) -> Tensor:
        """k features (B, T, D) -> (B,)."""
        pooled = pooled_together(features)
        there = torch.stack([feature.present for feature in features], -1).to(pooled.dtype)
        logit = self.logit(functional.gelu(self.hidden(torch.cat([pooled, there], -1)))).squeeze(-1)
        # The guess is trained to guess, not to move the gate.
        return CAP * torch.tanh((logit + self.doubt * entropy(self.guess(pooled)).detach()) / CAP)


def pooled_together(features: Sequence[Feature]) -> Tensor:
    """k features (B, T, D) -> (B, k D): what a gate guesses from."""
    return torch.cat([pool(feature) for feature in features], -1)


def entropy(logits: Tensor) -> Tensor:
    """Logits (B, C), or (B, 1) of a binary task -> (B,) nats."""
    both = torch.cat([logits, torch.zeros_like(logits)], -1) if logits.shape[-1] == 1 else logits
    log_probability = both.log_softmax(-1)
    return -(log_probability.exp() * log_probability).sum(-1)


def hard(name: str, logit: Tensor, chance: float) -> Tensor:
    """What is done at inference: go on where the logit is positive."""
    return (logit > 0).to(logit.dtype)


def coin(name: str, logit: Tensor, chance: float) -> Tensor:
    """A random path, whatever the gate says; from torch's global generator."""
    return torch.bernoulli(torch.full_like(logit, chance))


def everything(name: str, logit: Tensor, chance: float) -> Tensor:
    """Every gate goes on: the full path."""
    return torch.ones_like(logit)


def exploring(share: float) -> Draw:
    """The gate's decision, but a coin's for a share of the samples: no branch is ever left untrained."""

    def draw(name: str, logit: Tensor, chance: float) -> Tensor:
        return torch.where(torch.rand_like(logit) < share, coin(name, logit, chance), hard(name, logit, chance))

    return draw


def relaxed(temperature: float, *, noise: bool) -> Draw:
    """Hard forward, soft backward: ``1[z > 0]`` with the gradient of ``sigmoid(z / temperature)``.

    Args:
        temperature: of the sigmoid.
        noise: z = logit + a logistic variable, the difference of two Gumbel variables (binary Gumbel-softmax: Jang et
            al., 2017, arXiv:1611.01144), drawn once per gate; else z = logit (straight-through: Bengio et al., 2013,
            arXiv:1308.3432).
    """
    drawn: dict[str, Tensor] = {}

    def draw(name: str, logit: Tensor, chance: float) -> Tensor:
        if noise and name not in drawn:
            uniform = torch.rand_like(logit).clamp(1e-6, 1 - 1e-6)
            drawn[name] = (uniform / (1 - uniform)).log()
        shifted = logit + drawn[name] if noise else logit
        soft = (shifted / temperature).sigmoid()
        return (shifted > 0).to(soft.dtype) - soft.detach() + soft

    return draw


def expected(temperature: float) -> Draw:
    """Probability ``sigmoid(logit / temperature)`` of going on, for a loss that is the mean over all paths."""

    def draw(name: str, logit: Tensor, chance: float) -> Tensor:
        return (logit / temperature).sigmoid()

    return draw
