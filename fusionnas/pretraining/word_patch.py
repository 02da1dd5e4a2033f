"""Word-patch alignment: the tokens of two sequences of one sample can be moved onto each other at little cost."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionnas.pretraining.base import Batch, Kit, Term
from fusionnas.transport import distance


class WordPatch(Term):
    """Tokens of two sequences of one sample are near each other, those of different samples are not.

    Args:
        kit: modalities; pairs of sequences take part.
    """

    def __init__(self, kit: Kit) -> None:
        super().__init__()
        self.pairs = [(a, b) for a, b in kit.pairs() if min(kit.specs[a].tokens, kit.specs[b].tokens) > 1]

    def forward(self, batch: Batch) -> Tensor:
        """Mean over pairs of the distance within samples less that to the next sample of the batch."""
        names, features = list(batch.tops), list(batch.tops.values())
        tokens = {n: batch.context.tokens(features, names.index(n)) for pair in self.pairs for n in pair}
        found = []
        for first, second in self.pairs:
            a, b = tokens[first], tokens[second]
            other = b.rows(torch.roll(torch.arange(len(b.present)), 1))
            rows = a.present & b.present & other.present
            gap = distance(a, b) - distance(a, other)
            found.append((gap * rows).sum() / rows.sum().clamp_min(1))
        return torch.stack(found).mean() if found else features[0].values.new_zeros(())
