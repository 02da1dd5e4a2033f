"""Discrete fusion heads trained alone: what one is, how it starts, and training them one after the other.

A head is a fusion graph with its readout on cached features. :class:`fusionnas.search.stack.HeadStack` trains hundreds
at once; ``SequentialHeads`` is the same for operators that cannot be stacked, and where stacking does not pay.
Batches and dropout are functions of the seed alone: heads that are compared meet the same samples and the same noise,
and no head's training depends on which others train beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from fusionnas.architecture import Architecture, NodeRef, Point
from fusionnas.device import CPU
from fusionnas.feature import Feature, pool
from fusionnas.network import FusionHead
from fusionnas.operators import operators
from fusionnas.search.cache import Batch, Cache
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.scoring import nll

STARTS = 16
"""Draws of initial weights per seed, operators and numbers of inputs; one per head would take a tenth of the time."""


@dataclass(frozen=True)
class Candidate:
    """A head to train: an architecture and the seed of its initial weights."""

    architecture: Architecture
    seed: int

    @property
    def operators(self) -> tuple[str, ...]:
        """Operator names, node by node: candidates that agree here can be stacked."""
        return tuple(node.operator for node in self.architecture.nodes)

    @property
    def wiring(self) -> tuple[tuple[int | None, ...], ...]:
        """Per node and slot the earlier node that it reads, None for a fusion point."""
        nodes = self.architecture.nodes
        return tuple(tuple(s.node if isinstance(s, NodeRef) else None for s in node.inputs) for node in nodes)

    @property
    def start(self) -> tuple[int, tuple[str, ...], tuple[int, ...], int]:
        """What the initial weights are a function of: seed, operators, numbers of inputs, which draw."""
        inputs = tuple(len(node.inputs) for node in self.architecture.nodes)
        return self.seed, self.operators, inputs, derive(self.seed, "draw", self.architecture.id) % STARTS


@dataclass(frozen=True)
class HeadSettings:
    """Sizes, rates and device (as in the space file) of head training; Adam (Kingma & Ba, 2015, arXiv:1412.6980)."""

    width: int
    outputs: int
    batch_size: int = 128
    learning_rate: float = 5e-3
    weight_decay: float = 1e-4
    dropout: float = 0.0
    device: str = "cpu"


class Heads(Protocol):
    """Heads that train together.

    Attributes:
        candidates: what they are, in order.
    """

    candidates: list[Candidate]

    def place(self, device: torch.device) -> None:
        """Compute there from now on."""

    def fit(self, cache: Cache, factors: Sequence[float], *, seed: int) -> None:
        """Train all members from their start; ``factors`` holds each epoch's factor on the learning rate."""

    def losses(self, cache: Cache) -> Tensor:
        """Negative log-likelihood per member and sample, (G, N), on the CPU."""


def stackable(names: Iterable[str]) -> bool:
    """Whether all these operators run stacked."""
    return all(operators[name].stackable for name in names)


def initial_head(candidate: Candidate, settings: HeadSettings) -> FusionHead:
    """The candidate's head at its start: a function of architecture and seed alone."""
    seed, *names = candidate.start
    with seeded(derive(seed, "head", *names)):
        return FusionHead(candidate.architecture, settings.width, settings.outputs)


def adam(parameters: Iterable[nn.Parameter], settings: HeadSettings) -> torch.optim.Adam:
    """The optimizer of heads, stacked or not."""
    return torch.optim.Adam(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )


def epoch_seed(seed: int, epoch: int) -> int:
    """Of an epoch's batches and dropout."""
    return derive(seed, "heads", epoch)


class SequentialHeads:
    """See the module and :class:`Heads`.

    Args:
        candidates: members; any operators.
        settings: sizes and rates.
        points: fusion points in the order of the caches.
    """

    def __init__(self, candidates: Sequence[Candidate], settings: HeadSettings, points: Sequence[Point]) -> None:
        self.candidates, self.settings = list(candidates), settings
        self._members = [_Member(candidate, settings, points) for candidate in candidates]
        self._device = CPU

    def place(self, device: torch.device) -> None:
        """See :meth:`Heads.place`."""
        self._device = device
        for member in self._members:
            member.head.to(device)

    def fit(self, cache: Cache, factors: Sequence[float], *, seed: int) -> None:
        """See :meth:`Heads.fit`."""
        settings = self.settings
        optimizers = [adam(member.head.parameters(), settings) for member in self._members]
        for epoch, factor in enumerate(factors):
            drawn = epoch_seed(seed, epoch)
            for batch in cache.batches(settings.batch_size, settings.dropout, seed=drawn, device=self._device):
                for member, optimizer in zip(self._members, optimizers, strict=True):
                    optimizer.param_groups[0]["lr"] = settings.learning_rate * factor
                    loss = nll(member.logits(batch), batch.target).mean()
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()

    @torch.no_grad()
    def losses(self, cache: Cache) -> Tensor:
        """See :meth:`Heads.losses`."""
        batches = cache.batches(self.settings.batch_size, device=self._device)
        found = [torch.stack([nll(member.logits(b), b.target) for member in self._members]) for b in batches]
        return torch.cat(found, dim=1).cpu()


class _Member:
    """One head and the cached fusion points that it reads."""

    def __init__(self, candidate: Candidate, settings: HeadSettings, points: Sequence[Point]) -> None:
        self.head = initial_head(candidate, settings)
        self._places = {point: points.index(point) for point in candidate.architecture.points()}
        self._tokens = any(operators[name].sequence for name in candidate.operators)

    def logits(self, batch: Batch) -> Tensor:
        """(B, C)."""
        fused = pool(self.head.fuse(self._features(batch)))
        logits: Tensor = self.head.readout(batch.dropped(fused) if self.head.drops_fused else fused)
        return logits

    def _features(self, batch: Batch) -> Mapping[Point, Feature]:
        return {point: batch.feature(place, tokens=self._tokens) for point, place in self._places.items()}
