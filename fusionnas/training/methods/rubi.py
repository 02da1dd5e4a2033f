"""RUBi: samples that one modality alone gets right count less, so that the network must hear the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.layers import Linear
from fusionnas.training.beside import mean_where, unimodal
from fusionnas.training.method import Features, Reads, Step, TrainingFacts, TrainingMethod, register_training
from fusionnas.training.recipe import Recipe
from fusionnas.training.scoring import nll


class Branch(nn.Module):
    """A modality's own opinion: mask logits from a perceptron, and a prediction from them."""

    def __init__(self, fan_in: int, width: int, outputs: int) -> None:
        super().__init__()
        self.hidden, self.mask = Linear(fan_in, 2 * width), Linear(2 * width, outputs)
        self.prediction = Linear(outputs, outputs)

    def forward(self, vector: Tensor) -> Tensor:
        """(B, fan_in) -> mask logits (B, C)."""
        out: Tensor = self.mask(functional.relu(self.hidden(vector)))
        return out


@register_training("rubi")
class ReducedUnimodalBias(TrainingMethod):
    """The fused logits are masked by what each suspected modality alone predicts; the mask is gone after training.

    The modality's encoder takes no gradient from its branch. A sample that lacks the modality is not masked by it.

    Args:
        reads: modalities, width and outputs.
        suspects: modalities with a branch.
        weight: lambda of the branches' own loss.
    """

    facts: ClassVar[TrainingFacts] = TrainingFacts(
        key="training.debias: {kind: rubi, weight: l, modalities: [..]}",
        formula="L = CE(z * prod_i sigmoid(c_i(h_i)), y) + l mean_i CE(d_i(c_i(h_i)), y), h_i without gradient",
        source="Cadene et al., RUBi: Reducing Unimodal Biases for Visual Question Answering, NeurIPS 2019, "
        "arXiv:1906.10169",
        departs="any modalities, also several at once (their masks are multiplied), not the question alone; a "
        "two-layer perceptron; a binary task's single logit is masked like a difference of two",
    )
    order: ClassVar[int] = 2

    def __init__(self, reads: Reads, suspects: Sequence[str], weight: float) -> None:
        super().__init__()
        self.points, self.weight = [reads.points[name] for name in suspects], weight
        self.branches = nn.ModuleList(Branch(len(p) * reads.width, reads.width, reads.outputs) for p in self.points)

    @classmethod
    def of(cls, recipe: Recipe, reads: Reads) -> TrainingMethod | None:
        """Off without the key, for a network that reads one modality, or none of the suspects."""
        asked = recipe.training.debias
        if asked is None or asked.kind != "rubi" or len(reads.points) < 2:
            return None
        suspects = [name for name in reads.points if asked.modalities is None or name in asked.modalities]
        return cls(reads, suspects, 1.0 if asked.weight is None else asked.weight) if suspects else None

    def loss(self, step: Step, loss: Tensor) -> Tensor:
        """The masked loss in place of the fused one, and the branches' own."""
        masked, own = step.logits, []
        for opinion, there, prediction in self._opinions(step.features):
            masked = masked * torch.where(there.unsqueeze(1), opinion.sigmoid(), 1.0)
            own.append(mean_where(nll(prediction, step.target), there))
        return nll(masked, step.target).mean() + self.weight * torch.stack(own).mean()

    def _opinions(self, features: Features) -> list[tuple[Tensor, Tensor, Tensor]]:
        found = []
        for points, branch in zip(self.points, self.branches, strict=True):
            assert isinstance(branch, Branch)
            vector, there = unimodal(points, features)
            opinion = branch(vector.detach())
            found.append((opinion, there, branch.prediction(opinion)))
        return found
