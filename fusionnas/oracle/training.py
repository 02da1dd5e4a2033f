"""Whole networks trained alone, many at once: encoders, fusion nodes and readout of each with weights of its own.

They are the networks that ``build`` gives, with its initial weights, on the schedule of
:mod:`fusionnas.training.train` (AdamW, cosine), without clipping and early stopping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from fusionnas.architecture import Architecture, Point
from fusionnas.data.base import Part
from fusionnas.encoders.encoder import Encoder
from fusionnas.feature import Feature, pool
from fusionnas.layers import stack_modules
from fusionnas.network import FusionNetwork, build
from fusionnas.search.heads import Candidate, HeadSettings
from fusionnas.search.method import Problem
from fusionnas.search.stack import HeadStack
from fusionnas.training.optimizer import cosine
from fusionnas.training.randomness import derive, seeded
from fusionnas.training.scoring import nll

SCORED = 128  # samples at a time, of all members


@dataclass(frozen=True)
class Curves:
    """Scores of G networks after each of E epochs, (G, E) each; accuracies as numbers of samples that are right."""

    select_loss: Tensor
    select_right: Tensor
    test_right: Tensor


def train_networks(problem: Problem, test: Part, architectures: Sequence[Architecture], seed: int) -> Curves:
    """Train each alone on train + alpha, with ``training.epochs``, rates and batches of the problem's space.

    Args:
        problem: space and data; vector modalities, no dropout.
        test: scored beside select.
        architectures: of one operator sequence, all nodes with as many inputs.
        seed: of weights and batches.
    """
    training, train = problem.space.file.training, Part.concat(problem.data.train, problem.data.alpha)
    stack = _NetworkStack(problem, architectures, seed)
    matrices = [p for p in stack.parameters() if p.dim() > 2]  # one dimension is that of members
    vectors = [p for p in stack.parameters() if p.dim() <= 2]
    decays = ((matrices, training.weight_decay), (vectors, 0.0))
    optimizer = torch.optim.AdamW(
        [{"params": p, "lr": training.learning_rate, "base": training.learning_rate, "weight_decay": decay}
         for p, decay in decays], fused=True,
    )  # fmt: skip
    batches = torch.Generator().manual_seed(derive(seed, "oracle batches"))
    rows = []
    for epoch in range(training.epochs):
        cosine(optimizer, epoch, training.epochs)
        for batch in train.batches(training.batch_size, batches):
            loss = nll(stack(batch), batch.target).mean(-1).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        rows.append(_scores(stack, problem.data.select, test))
    return Curves(*(torch.stack(column, 1) for column in zip(*rows, strict=True)))


@torch.no_grad()
def _scores(stack: _NetworkStack, select: Part, test: Part) -> tuple[Tensor, Tensor, Tensor]:
    on_select, on_test = (torch.cat([stack(few) for few in part.batches(SCORED)], 1) for part in (select, test))
    return nll(on_select, select.target).mean(-1), _right(on_select, select.target), _right(on_test, test.target)


def _right(logits: Tensor, target: Tensor) -> Tensor:
    """Samples per member that are right: (G, N, C) -> (G,)."""
    chosen = (logits[..., 0] > 0).long() if logits.shape[-1] == 1 else logits.argmax(-1)
    return (chosen == target).sum(-1)


@dataclass(frozen=True)
class _MemberBatch:
    """Features of every point for every member, (P + 1, G, B, D): what a head stack reads; nothing comes last."""

    vectors: Tensor
    complete: ClassVar[bool] = True

    def features(self, rows: Tensor, *, tokens: bool) -> Feature:
        assert not tokens
        places = rows * self.vectors.shape[1] + torch.arange(len(rows))
        return Feature.vector(self.vectors.flatten(0, 1).index_select(0, places))

    def dropped(self, fused: Tensor) -> Tensor:
        return fused


class _NetworkStack(nn.Module):
    """Networks side by side."""

    def __init__(self, problem: Problem, architectures: Sequence[Architecture], seed: int) -> None:
        super().__init__()
        space, signature = problem.space, problem.data.signature
        networks = [_initial(problem, architecture, seed) for architecture in architectures]
        settings = HeadSettings(space.file.fusion.width, signature.outputs)
        self.head = HeadStack([Candidate(a, seed) for a in architectures], settings, space.points())
        for index in range(len(self.head.nodes)):
            self.head.nodes[index] = stack_modules([network.head.nodes[index] for network in networks])
        self.head.readout = stack_modules([network.head.readout for network in networks])
        self.encoders = nn.ModuleDict()
        for name in space.file.modalities:
            own = [dict(network.encoders.items()).get(name) for network in networks]
            deepest = max((e for e in own if isinstance(e, Encoder)), key=lambda e: len(e.layers), default=None)
            if deepest is not None:
                # Who reads less of a modality gets weights that nothing reads.
                self.encoders[name] = stack_modules([_deepened(e, deepest) for e in own])
        self.points: tuple[Point, ...] = space.points()

    def forward(self, part: Part) -> Tensor:
        """Samples -> logits (G, B, C)."""
        members, size = len(self.head.candidates), len(part)
        levels = {}
        for name, encoder in self.encoders.items():
            given = part.inputs[name].values.expand(members, -1, -1, -1)
            levels[name] = encoder(Feature.vector(given.squeeze(-2)))
        width = self.head.settings.width
        nothing = torch.zeros(members, size, width)
        rows = [
            pool(levels[p.modality][p.level]) if p.modality in levels and p.level < len(levels[p.modality]) else nothing
            for p in self.points
        ]
        logits: Tensor = self.head(_MemberBatch(torch.stack([*rows, nothing])))
        return logits


def _initial(problem: Problem, architecture: Architecture, seed: int) -> FusionNetwork:
    with seeded(derive(seed, "oracle", architecture.id)):
        return build(problem.space, architecture, problem.data.signature)


def _deepened(encoder: nn.Module | None, deepest: Encoder) -> nn.Module:
    """``encoder`` with the layers that it lacks taken from ``deepest``."""
    if not isinstance(encoder, Encoder) or len(encoder.layers) == len(deepest.layers):
        return encoder or deepest
    encoder.layers.extend(list(deepest.layers)[len(encoder.layers) :])
    return encoder
