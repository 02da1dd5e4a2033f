"""Gradients of a supernet's mean loss on a batch, replayed (:mod:`fusionnas.training.replay`)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from fusionnas.feature import Feature
from fusionnas.network import Encoded
from fusionnas.search.second_order import moved, twice_differentiable
from fusionnas.supernet import Mixing, Supernet
from fusionnas.training.recording import Outputs
from fusionnas.training.replay import Replay, gradients
from fusionnas.training.scoring import nll

Groups = Mapping[str, Tensor]
Penalty = Callable[[Mixing], Tensor]


@dataclass(frozen=True)
class Drawn:
    """A batch, and how the supernet runs on it.

    Attributes:
        inputs: of its samples.
        target: (B,).
        mixing: gives the Mixing; differentiable in the alphas where their gradient is asked for.
        encoded: features of frozen encoders, known already.
    """

    inputs: Mapping[str, Feature]
    target: Tensor
    mixing: Callable[[], Mixing]
    encoded: Encoded


class Steps:
    """Of one supernet, which is in training mode whenever it is asked.

    Args:
        supernet: whose weights train.
        logits: inputs, mixing and encoded features -> logits; default: the supernet itself.

    Attributes:
        weights: what trains, in the order of its gradients.
    """

    def __init__(self, supernet: Supernet, logits: Callable[..., Tensor] | None = None) -> None:
        self._logits = logits or supernet
        self.weights = [parameter for parameter in supernet.parameters() if parameter.requires_grad]
        self._first, self._of_mixing = Replay(partial(self._once, True)), Replay(partial(self._once, False))
        self._second = Replay(self._twice)

    def of_weights(self, drawn: Drawn) -> Outputs:
        """Of every weight; None where the loss does not depend on it."""
        return self._first(*_given(drawn, _still(drawn.mixing().groups())))

    def of_alphas(self, drawn: Drawn, alphas: Sequence[nn.Parameter], penalty: Penalty) -> list[Tensor]:
        """Of every alpha, of the loss and a penalty on the mixing."""
        mixing = drawn.mixing()
        groups = mixing.groups()
        return _back(groups, self._of_mixing(*_given(drawn, groups)), alphas, penalty(mixing))

    def second_order(
        self, training: Drawn, held_out: Drawn, alphas: Sequence[nn.Parameter], penalty: Penalty, *, rate: float
    ) -> list[Tensor]:
        """What :func:`fusionnas.search.second_order.second_order_gradient` gives, exact."""
        groups = training.mixing().groups()
        direct: list[Tensor] = []

        def outer(inner: Outputs) -> list[Tensor]:
            """The held-out loss after the step: its gradient of the weights, and of the alphas."""
            with moved(self.weights, _filled(inner, self.weights), -rate):
                mixing = held_out.mixing()
                mixed = mixing.groups()
                found = self._first(*_given(held_out, mixed))
            count = len(found) - len(self.weights)
            direct[:] = _back(mixed, found[:count], alphas, penalty(mixing))
            return _filled(found[count:], self.weights)

        along = self._second(*_given(training, groups), answer=outer)
        implicit = _back(groups, along, alphas)
        return [d - rate * i for d, i in zip(direct, implicit, strict=True)]

    def _once(
        self, weights: bool, inputs: Mapping[str, Feature], encoded: Encoded, target: Tensor, groups: Groups
    ) -> Outputs:
        """Gradients of the groups that take one, then of the weights where they are asked for."""
        leaves = _leaves(groups)
        loss = nll(self._logits(inputs, Mixing.of(leaves), encoded), target).mean()
        return gradients(loss, [*_live(leaves), *(self.weights if weights else ())])

    def _twice(
        self, inputs: Mapping[str, Feature], encoded: Encoded, target: Tensor, groups: Groups
    ) -> Generator[Outputs, Sequence[Tensor], Outputs]:
        """Yields the gradient of the weights; then, of ``<it, what it is sent>``, the gradients of the groups."""
        leaves = _leaves(groups)
        with twice_differentiable():
            loss = nll(self._logits(inputs, Mixing.of(leaves), encoded), target).mean()
            inner = torch.autograd.grad(loss, self.weights, allow_unused=True, create_graph=True)
        direction = yield [None if gradient is None else gradient.detach() for gradient in inner]
        pairs = [(g, v) for g, v in zip(inner, direction, strict=True) if g is not None and g.requires_grad]
        if not pairs:
            return [None for _ in _live(leaves)]
        outputs, along = zip(*pairs, strict=True)
        return torch.autograd.grad(outputs, _live(leaves), along, allow_unused=True)


def _given(drawn: Drawn, groups: Groups) -> tuple[Mapping[str, Feature], Encoded, Tensor, Groups]:
    return drawn.inputs, drawn.encoded, drawn.target, groups


def _still(groups: Groups) -> dict[str, Tensor]:
    return {name: rows.detach() for name, rows in groups.items()}


def _leaves(groups: Groups) -> dict[str, Tensor]:
    return {name: rows.detach().requires_grad_(rows.requires_grad) for name, rows in groups.items()}


def _live(groups: Groups) -> list[Tensor]:
    return [rows for rows in groups.values() if rows.requires_grad]


def _back(
    groups: Groups, found: Outputs, alphas: Sequence[nn.Parameter], penalty: Tensor | None = None
) -> list[Tensor]:
    """From gradients of the groups to those of the alphas; zeros where nothing depends on one."""
    pairs = [(rows, gradient) for rows, gradient in zip(_live(groups), found, strict=True) if gradient is not None]
    if penalty is not None and penalty.requires_grad:
        pairs.append((penalty, torch.ones_like(penalty)))
    if not pairs:
        return [torch.zeros_like(alpha) for alpha in alphas]
    outputs, along = zip(*pairs, strict=True)
    return _filled(torch.autograd.grad(outputs, alphas, along, allow_unused=True), alphas)


def _filled(found: Outputs, parameters: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]
