"""Decisions: operators that fuse predictions instead of features (late fusion)."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.feature import Feature
from fusionnas.layers import SlotLinear, per_member
from fusionnas.operators.base import any_present, vector_result, vector_slots
from fusionnas.operators.gated_softmax import masked_softmax

if TYPE_CHECKING:
    from typing_extensions import Self


class Decision(nn.Module):
    """What operators that decide share: an expert per input, a linear readout; predictions are fused to logits.

    Only a network's last node may decide: what it gives are C logits, not D channels. An absent input's expert has
    no say. C = 1 is the logit of two classes.

    Args:
        inputs: number of inputs k.
        width: channels D of every input.
        outputs: logits C; default D.
    """

    decides: ClassVar[bool] = True
    width: int

    def __init__(self, inputs: int, width: int, outputs: int | None = None) -> None:
        super().__init__(inputs, width)
        self.outputs = width if outputs is None else outputs
        self.experts = SlotLinear(inputs, width, fan_out=self.outputs)

    @classmethod
    def build(cls, inputs: int, width: int, outputs: int) -> Self:
        """The decision of a network with so many logits."""
        return cls(inputs, width, outputs)

    def over(self, inputs: int) -> Self:
        """A fresh decision over another number of inputs."""
        return type(self)(inputs, self.width, self.outputs)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors (..., B, 1, D) -> logits (..., B, 1, C)."""
        values, present = vector_slots(features)
        return vector_result(self.decide(self.experts(values), present), any_present(present))

    @abc.abstractmethod
    def decide(self, logits: Tensor, present: Tensor) -> Tensor:
        """Experts' logits (..., k, C) and who is there (..., k) -> fused logits (..., C)."""

    @classmethod
    def count_parameters(cls, inputs: int, width: int, outputs: int | None = None) -> int:
        """``k C (D + 1)`` for the experts, and what :meth:`count_rule` says."""
        classes = width if outputs is None else outputs
        return inputs * classes * (width + 1) + cls.count_rule(inputs, classes)

    @classmethod
    def count_rule(cls, inputs: int, outputs: int) -> int:
        """Parameters of the rule itself."""
        return 0

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int], outputs: int | None = None) -> int:
        """``k C D``; vectors, so ``tokens`` do not count."""
        return inputs * width * (width if outputs is None else outputs)


def shares(weights: Tensor, present: Tensor) -> Tensor:
    """``softmax(weights)`` (..., k) over the experts that are ``present`` (..., k): sums to one, 0 for the absent."""
    alike = torch.zeros(present.shape, dtype=weights.dtype, device=present.device)
    return masked_softmax(alike + per_member(weights, alike), present, dim=-1)


def log_probabilities(logits: Tensor) -> Tensor:
    """Logits (..., C) -> log-probabilities (..., C), or (..., 2) of both classes for a single logit."""
    if logits.shape[-1] > 1:
        return logits.log_softmax(-1)
    return torch.cat((functional.logsigmoid(logits), functional.logsigmoid(-logits)), -1)


def as_logits(log_probabilities: Tensor, outputs: int) -> Tensor:
    """The way back: log-odds where there is a single logit."""
    if outputs > 1:
        return log_probabilities
    return log_probabilities[..., :1] - log_probabilities[..., 1:]
