"""Recipe: all that a training must know about how to train, and nothing about what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fusionnas.space.schema import Training

if TYPE_CHECKING:
    from fusionnas.space import SearchSpace


@dataclass(frozen=True)
class Recipe:
    """How a network or a supernet is trained.

    Attributes:
        training: rates, batch size, patience, training methods.
        policies: per modality "joint" (also where none is given), "frozen", "finetune" or "adapt".
        groups: modalities as people count them, each with its views; empty: every modality has one view.
        device: "cpu", "cuda" or "auto", as the space file has it; what it is, the process that trains finds out.
    """

    training: Training
    policies: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    device: str = "cpu"

    @classmethod
    def of(cls, space: SearchSpace) -> Recipe:
        """What the space file says."""
        policies = {name: modality.policy for name, modality in space.file.modalities.items()}
        return cls(space.file.training, policies, space.groups(), space.file.execution.device)

    def having(self, *policies: str) -> list[str]:
        """Modalities with one of these policies."""
        return [name for name, own in self.policies.items() if own in policies]
