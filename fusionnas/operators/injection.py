"""Per-depth injection: a fused state that takes in features of the modalities depth by depth (MFAS).

A chain of such nodes, each reading the one before and one level of every modality, is the network that MFAS searches:
its genome (levels, activation) per fusion layer is a node's inputs and operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from fusionnas.feature import Feature
from fusionnas.layers import Linear
from fusionnas.operators.base import (
    FusionOperator,
    OperatorFacts,
    any_present,
    register_operator,
    vector_result,
    vector_slots,
)
from fusionnas.operators.concat import side_by_side


def _facts(activation: str) -> OperatorFacts:
    return OperatorFacts(
        formula=f"z = {activation}(W [n(x_1); ...; n(x_k)] + b), n the normalisation over channels",
        source="Perez-Rua et al., MFAS: Multimodal Fusion Architecture Search, CVPR 2019, arXiv:1903.06496, equation 2",
        departs="every input is normalised, the fused state of the node before among them; absent inputs enter as "
        "zeros; one operator per activation, so that a search chooses it",
        parameters="k·D² + D",
        macs="k·D²",
        rank=8,
        absent="zeros",
    )


class Injection(nn.Module):
    """``activation(W [n(x_1); ...; n(x_k)] + b)``: what the operators, one per activation, share."""

    gain: ClassVar[float]

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.project = Linear(inputs * width, width, gain=self.gain)
        # Off the kink of relu, where inputs are all 0.
        assert self.project.bias is not None
        nn.init.normal_(self.project.bias, std=0.1)

    def forward(self, features: Sequence[Feature]) -> Feature:
        """k vectors, an earlier node's among them -> the next fused state."""
        values, present = vector_slots(features)
        return vector_result(self.activate(self.project(side_by_side(values))), any_present(present))

    def activate(self, x: Tensor) -> Tensor:
        """The activation, channel by channel."""
        raise NotImplementedError

    @classmethod
    def count_parameters(cls, inputs: int, width: int) -> int:
        """``k D^2 + D``."""
        return inputs * width**2 + width

    @classmethod
    def count_macs(cls, inputs: int, width: int, tokens: Sequence[int]) -> int:
        """``k D^2``; vectors, so ``tokens`` do not count."""
        return inputs * width**2


@register_operator("injection_relu")
class InjectionRelu(Injection, FusionOperator):
    """``relu(W [n(x_1); ...; n(x_k)] + b)``."""

    facts: ClassVar[OperatorFacts] = _facts("relu")
    gain: ClassVar[float] = 1.5

    def activate(self, x: Tensor) -> Tensor:
        """Rectified."""
        return functional.relu(x)


@register_operator("injection_leaky_relu")
class InjectionLeakyRelu(Injection, FusionOperator):
    """``leaky_relu(W [n(x_1); ...; n(x_k)] + b)``, slope 0.01 below zero."""

    facts: ClassVar[OperatorFacts] = _facts("leaky_relu")
    gain: ClassVar[float] = 1.5

    def activate(self, x: Tensor) -> Tensor:
        """Rectified, with a small slope below zero."""
        return functional.leaky_relu(x)


@register_operator("injection_sigmoid")
class InjectionSigmoid(Injection, FusionOperator):
    """``sigmoid(W [n(x_1); ...; n(x_k)] + b)``."""

    facts: ClassVar[OperatorFacts] = _facts("sigmoid")
    gain: ClassVar[float] = 2.0

    def activate(self, x: Tensor) -> Tensor:
        """Squashed to 0..1."""
        return x.sigmoid()
