"""Context: what one modality's tokens become when all modalities are read together."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from fusionnas.feature import Feature, pool
from fusionnas.operators.base import FusionOperator, operators
from fusionnas.operators.joint_transformer import JointTransformer

DEFAULT = "cross_attention"
CONTEXTUAL = (DEFAULT, "joint_transformer")
"""Operators that can give the tokens of each of their inputs in the light of the others."""


class Context(nn.Module):
    """A fusion operator over all modalities, asked for every modality's tokens in turn.

    Args:
        operator: one of :data:`CONTEXTUAL`.
        count: modalities.
        width: channels D.
    """

    def __init__(self, operator: str, count: int, width: int) -> None:
        super().__init__()
        self.name, self.count = operator, count
        self.operator = operators[operator](count, width) if count > 1 else None

    @classmethod
    def named(cls, wanted: Sequence[str]) -> str:
        """The operator to read with: the first of the space's that can, else cross attention."""
        return next((name for name in wanted if name in CONTEXTUAL), DEFAULT)

    def tokens(self, features: Sequence[Feature], place: int) -> Feature:
        """Tokens (B, T_place, D) of one modality; its own alone where it is the only one."""
        if self.operator is None:
            return features[place]
        if self.name == DEFAULT:
            first: Feature = self.operator([features[place], *(f for i, f in enumerate(features) if i != place)])
            return first
        assert isinstance(self.operator, JointTransformer)
        return self.operator.contextual(features)[place]

    def pooled(self, features: Sequence[Feature]) -> Tensor:
        """All modalities as one vector (B, D); the first asks."""
        assert isinstance(self.operator, FusionOperator)
        return pool(self.operator(features))
