"""AdamW with a cosine schedule, separate rates for fine-tuned encoders, and averaged weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fusionnas.training.adaptation import is_update
from fusionnas.training.recipe import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe, *, beside: nn.Module | None = None) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter, 2019, arXiv:1711.05101); no decay on vectors (biases, norms).

    Encoders with policy "frozen" take no gradient from here on; of those with "adapt", low-rank updates alone do, where
    there are some; those with "finetune" train at ``finetune_rate`` times the rate. What takes no gradient is left out.

    Args:
        network: has ``encoders`` by modality name.
        recipe: rates and policies.
        beside: what trains along and is no part of the network.
    """
    training = recipe.training
    freeze = tuple(f"encoders.{name}." for name in recipe.having("frozen", "adapt"))
    slow = tuple(f"encoders.{name}." for name in recipe.having("finetune"))
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in [*network.named_parameters(), *(beside or nn.Module()).named_parameters(prefix="beside")]:
        if freeze and name.startswith(freeze) and not is_update(name):
            parameter.requires_grad_(False)
        if not parameter.requires_grad:
            continue
        rate = training.learning_rate * (training.finetune_rate if slow and name.startswith(slow) else 1.0)
        decay = training.weight_decay if parameter.dim() > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": p, "lr": rate, "base": rate, "weight_decay": decay} for (rate, decay), p in groups.items()],
        fused=True,
    )


def cosine(optimizer: torch.optim.Optimizer, epoch: float, epochs: float) -> None:
    """Set every group's rate for one epoch: from its base rate down to a twentieth along a cosine."""
    share = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
    for group in optimizer.param_groups:
        group["lr"] = group["base"] * share


class Average:
    """Exponential moving average of a network's state (Polyak averaging); ``decay`` 0 follows it exactly."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state: dict[str, Tensor] = {k: v.detach().clone() for k, v in network.state_dict().items()}
        self._steps = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take one step toward the network's present state; the first steps weigh more."""
        self._steps += 1
        share = 1 - min(self.decay, self._steps / (self._steps + 9))
        for key, value in network.state_dict().items():
            if self.decay and value.dtype.is_floating_point:
                self.state[key].lerp_(value, share)
            else:
                self.state[key].copy_(value)

    def to_state(self) -> dict[str, object]:
        """Plain data for a checkpoint."""
        return {"state": self.state, "steps": self._steps}

    def from_state(self, saved: dict[str, object]) -> None:
        """Go on from ``to_state``."""
        assert isinstance(saved["state"], dict) and isinstance(saved["steps"], int)
        self.state = {key: value.to(self.state[key].device) for key, value in saved["state"].items()}
        self._steps = saved["steps"]
