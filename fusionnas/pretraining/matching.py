"""Matching: does this modality belong to the rest of the sample? Negatives come from the same batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fusionnas.layers import Linear
from fusionnas.pretraining.base import Batch, Kit, Term
from fusionnas.pretraining.contrast import Similarity


class Matching(Term):
    """For each modality, tell a sample from the same sample with that modality taken from another one.

    Only samples that have the modality and find another one that has it take part; a batch of one has no negatives, and
    its loss is 0.

    Args:
        kit: modalities and width.
        hard: whose similarity makes likely confusions likely negatives; None: all are equally likely.
    """

    def __init__(self, kit: Kit, hard: Similarity | None = None) -> None:
        super().__init__()
        self.pairs, self.verdict = kit.pairs(), Linear(kit.width, 1)
        self.hard = [hard]  # in a list: the weights are another term's

    def forward(self, batch: Batch) -> Tensor:
        """Mean binary cross-entropy over modalities that have negatives."""
        names = list(batch.tops)
        found = []
        for place, name in enumerate(names):
            there = batch.tops[name].present
            other = negatives(self._scores(batch, name), there)
            rows = there & (other >= 0)
            features = list(batch.tops.values())
            swapped = [f.rows(other.clamp_min(0)) if i == place else f for i, f in enumerate(features)]
            right, wrong = (self.verdict(batch.context.pooled(given))[:, 0] for given in (features, swapped))
            loss = functional.softplus(-right) + functional.softplus(wrong)
            found.append((loss * rows).sum() / (2 * rows.sum()).clamp_min(1))
        return torch.stack(found).mean()

    @torch.no_grad()
    def _scores(self, batch: Batch, name: str) -> Tensor:
        """How easily sample b takes modality ``name`` of sample c for its own, (B, B)."""
        size = len(batch.tops[name].present)
        similarity = self.hard[0]
        if similarity is None:
            return batch.tops[name].values.new_zeros(size, size)
        similar = [similarity(batch, a, b).T for a, b in self.pairs if a == name]
        similar += [similarity(batch, a, b) for a, b in self.pairs if b == name]
        return torch.stack(similar).mean(0)


def negatives(scores: Tensor, there: Tensor) -> Tensor:
    """For each sample another one that is ``there``, drawn with chance ~ exp(score); (B,), -1 where there is none.

    Drawn by the Gumbel trick, which has no sum that could be zero: a batch of one or two, scores so far apart that all
    but one underflow, and scores that are not numbers (they count as 0) are no special cases.
    """
    size = len(there)
    allowed = there.unsqueeze(0) & ~torch.eye(size, dtype=torch.bool, device=there.device)
    noise = -torch.log(-torch.log(torch.rand(size, size).clamp(1e-9, 1 - 1e-7)))
    drawn = scores.float().nan_to_num(0.0, 0.0, 0.0) + noise.to(scores.device)
    chosen = torch.where(allowed, drawn, -torch.inf).argmax(1)
    return torch.where(allowed.any(1), chosen, -1)
