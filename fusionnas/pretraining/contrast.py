"""Contrastive alignment: what belongs to one sample is closer than what does not."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.feature import Feature, pool
from fusionnas.layers import Linear
from fusionnas.pretraining.base import Batch, Encoders, Kit, Term

TEMPERATURE, COLDEST, WARMEST = 0.07, 0.001, 0.5
QUEUE, MOMENTUM, SOFT = 512, 0.995, 0.4


class Similarity(nn.Module):
    """Cosines between modalities of what their encoders give, each projected, over a learned temperature."""

    def __init__(self, kit: Kit) -> None:
        super().__init__()
        self.project = nn.ModuleDict({name: Linear(kit.width, kit.width) for name in kit.specs})
        self.temperature = nn.Parameter(torch.tensor(TEMPERATURE))

    def unit(self, top: Feature, name: str) -> Tensor:
        """Pooled, projected and of length 1, (B, D), in float32."""
        return functional.normalize(self.project[name](pool(top)).float(), dim=-1)

    def scale(self) -> Tensor:
        """The learned temperature, within bounds."""
        return self.temperature.clamp(COLDEST, WARMEST)

    def forward(self, batch: Batch, first: str, second: str) -> Tensor:
        """(B, B): rows are samples of ``first``."""
        return self.unit(batch.tops[first], first) @ self.unit(batch.tops[second], second).T / self.scale()


class Contrast(Term):
    """Symmetric InfoNCE between every pair of modalities, over the samples that have both.

    Args:
        kit: modalities and width.
    """

    def __init__(self, kit: Kit) -> None:
        super().__init__()
        self.pairs, self.similarity = kit.pairs(), Similarity(kit)

    def forward(self, batch: Batch) -> Tensor:
        """Mean over pairs and directions."""
        found = []
        for first, second in self.pairs:
            both = batch.tops[first].present & batch.tops[second].present
            logits = self.similarity(batch, first, second)
            target = torch.eye(len(both), device=both.device)
            found += [soft_cross_entropy(logits, target, both, both), soft_cross_entropy(logits.T, target, both, both)]
        return torch.stack(found).mean()


class MomentumContrast(Term):
    """The same with slow copies of encoders and projections, which fill a queue per modality with past samples.

    What is queued are more negatives. The slow copies also soften the targets: ``(1 - a) one-hot + a softmax(slow
    similarity)``, where ``a`` grows from 0 to 0.4 over the first epoch. A queue takes batches of any size, and its
    empty places count for nothing.

    Args:
        kit: modalities and width.
        queue: samples that a queue holds.
    """

    def __init__(self, kit: Kit, queue: int = QUEUE) -> None:
        super().__init__()
        self.pairs, self.similarity = kit.pairs(), Similarity(kit)
        self.ramp, self.queue = kit.steps, queue
        self.slow = copy.deepcopy(kit.encoders).requires_grad_(False)
        self.slow_project = copy.deepcopy(self.similarity.project).requires_grad_(False)
        for name in kit.specs:
            self.register_buffer(f"queued_{name}", torch.zeros(queue, kit.width))
            self.register_buffer(f"there_{name}", torch.zeros(queue, dtype=torch.bool))
        self.batches: Tensor
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))
        self.next: Tensor
        self.register_buffer("next", torch.zeros((), dtype=torch.long))  # place that the next sample takes

    def forward(self, batch: Batch) -> Tensor:
        """Mean over pairs and directions; what the batch gives is queued."""
        with torch.no_grad():
            self.slow.paths = batch.encoders.paths
            tops = self.slow(batch.inputs)
            slow = {n: functional.normalize(self.slow_project[n](pool(f)).float(), dim=-1) for n, f in tops.items()}
        found = []
        for pair in self.pairs:
            both = batch.tops[pair[0]].present & batch.tops[pair[1]].present
            found += [self._one_way(batch, slow, both, a, b) for a, b in (pair, pair[::-1])]
        if self.training:
            self._queue(slow, {name: top.present for name, top in tops.items()})
        return torch.stack(found).mean()

    def after_step(self, encoders: Encoders) -> None:
        """The slow copies follow by a two-hundredth."""
        with torch.no_grad():
            for slow, fast in ((self.slow, encoders), (self.slow_project, self.similarity.project)):
                for a, b in zip(slow.parameters(), fast.parameters(), strict=True):
                    a.lerp_(b, 1 - MOMENTUM)

    def _one_way(self, batch: Batch, slow: dict[str, Tensor], both: Tensor, first: str, second: str) -> Tensor:
        """From samples of ``first`` to those of ``second``, queue included."""
        keys = torch.cat((slow[second], self.get_buffer(f"queued_{second}")))
        valid = torch.cat((both, self.get_buffer(f"there_{second}")))
        logits = self.similarity.unit(batch.tops[first], first) @ keys.T / self.similarity.scale()
        with torch.no_grad():
            told = (slow[first] @ keys.T / self.similarity.scale()).masked_fill(~valid, -torch.inf)
            soft = torch.where(both.unsqueeze(1), told, 0.0).softmax(-1)
            share = SOFT * min(1.0, int(self.batches) / self.ramp)
            target = (1 - share) * torch.eye(*logits.shape, device=logits.device) + share * soft
        return soft_cross_entropy(logits, target, both, valid)

    @torch.no_grad()
    def _queue(self, slow: dict[str, Tensor], there: dict[str, Tensor]) -> None:
        count = min(len(next(iter(slow.values()))), self.queue)
        places = (self.next + torch.arange(count, device=self.next.device)) % self.queue
        for name, values in slow.items():
            self.get_buffer(f"queued_{name}")[places] = values[:count]
            self.get_buffer(f"there_{name}")[places] = there[name][:count]
        self.next.copy_((self.next + count) % self.queue)
        self.batches += 1


def soft_cross_entropy(logits: Tensor, target: Tensor, rows: Tensor, valid: Tensor) -> Tensor:
    """Mean over ``rows`` (B,) of the cross-entropy to ``target`` (B, K) among the ``valid`` (K,); 0 where none is."""
    own = torch.eye(*logits.shape, dtype=torch.bool, device=logits.device)  # no row is ever without a choice
    logs = logits.masked_fill(~(valid | own), -torch.inf).log_softmax(-1).masked_fill(~(valid | own), 0.0)
    return (-(target * logs).sum(-1) * rows).sum() / rows.sum().clamp_min(1)
