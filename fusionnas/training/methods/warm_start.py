"""Unimodal warm start: every encoder learns the label alone before fusion begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from fusionnas.training.beside import UnimodalHeads
from fusionnas.training.method import Reads, Step, Trainee, TrainingFacts, TrainingMethod, register_training
from fusionnas.training.recipe import Recipe

if TYPE_CHECKING:
    from fusionnas.data.base import Part


@register_training("warm_start")
class UnimodalWarmStart(TrainingMethod):
    """In the first epochs each modality's encoder learns with a head of its own; the fusion nodes stay as they are.

    It happens inside each training, on that training's samples, so that no encoder has seen a sample that is held out.
    The network is scored, and patience counts, from the first epoch after it.

    Args:
        reads: modalities, width and outputs.
        epochs: how many.
    """

    facts: ClassVar[TrainingFacts] = TrainingFacts(
        key="training.warm_start: {kind: unimodal, epochs: N}",
        formula="first N epochs: L = sum_i L_i, L_i the loss of a linear head on modality i alone; then the fused loss",
        source="Ngiam et al., Multimodal Deep Learning, ICML 2011 (modality-wise pretraining before fusion)",
        departs="supervised, with linear heads, instead of restricted Boltzmann machines; inside the same training",
    )
    order: ClassVar[int] = 5

    def __init__(self, reads: Reads, epochs: int) -> None:
        super().__init__()
        self.heads, self.warm = UnimodalHeads(reads), epochs
        self._on = True

    @classmethod
    def of(cls, recipe: Recipe, reads: Reads) -> TrainingMethod | None:
        """Off without the key, and for a network that reads one modality."""
        start = recipe.training.warm_start
        return cls(reads, start.epochs) if start is not None and len(reads.points) > 1 else None

    def begin(self, epoch: int, trainee: Trainee, part: Part) -> None:
        """Whether this epoch is one of the first."""
        self._on = epoch < self.warm

    def loss(self, step: Step, loss: Tensor) -> Tensor:
        """The sum of the modalities' own losses at first, then the loss as it is."""
        return self.heads.losses(step.features, step.target).sum() if self._on else loss
