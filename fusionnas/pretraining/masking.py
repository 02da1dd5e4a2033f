"""Masked modelling: what was hidden of one modality is told from the rest of it and from the others."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.feature import Feature, InputSpec
from fusionnas.layers import Linear
from fusionnas.pretraining.base import Batch, Kit, Term

HIDDEN_ID = 1  # the id of unknown words and codes


class Masking(Term):
    """Hides a share of one modality at a time: tokens of sequences and images, columns of vectors.

    Hidden numbers are 0, their mean; hidden ids are "unknown". Hidden places stay real tokens: nothing tells a
    black patch from any other, and nothing of what is hidden reaches its own prediction. Numbers are told with the
    squared error, which is 1 for who always says the mean; ids with the cross-entropy over that of an even guess.

    Args:
        kit: modalities and width.
        numbers: share of numbers that is hidden, unless the space file says.
        ids: share of ids.
    """

    def __init__(self, kit: Kit, *, numbers: float, ids: float) -> None:
        super().__init__()
        self.specs = dict(kit.specs)
        self.shares = {
            name: kit.mask if kit.mask is not None else ids if spec.vocabulary else numbers
            for name, spec in kit.specs.items()
        }
        self.tell = nn.ModuleDict(
            {name: Linear(kit.width, spec.vocabulary or spec.width) for name, spec in kit.specs.items()}
        )

    def forward(self, batch: Batch) -> Tensor:
        """Mean over modalities."""
        found = []
        for place, name in enumerate(batch.tops):
            given = batch.inputs[name]
            changed, hidden = hide(given, self.specs[name], self.shares[name])
            tops = [*batch.tops.values()]
            tops[place] = batch.encoders.top(name, changed)
            told = self.tell[name](batch.context.tokens(tops, place).values)
            found.append(_loss(told, given.values, hidden))
        return torch.stack(found).mean()


def hide(given: Feature, spec: InputSpec, share: float) -> tuple[Feature, Tensor]:
    """The input with a share hidden, and what is: (B, T) tokens, or (B, 1, R) columns of a vector."""
    if spec.vocabulary:
        hidden = (torch.rand(given.mask.shape).to(given.mask.device) < share) & given.mask
        return given._replace(values=torch.where(hidden, HIDDEN_ID, given.values)), hidden
    shape = given.values.shape if spec.tokens == 1 else (*given.mask.shape, 1)
    hidden = (torch.rand(shape).to(given.mask.device) < share) & given.mask.unsqueeze(-1)
    return given._replace(values=given.values.masked_fill(hidden, 0.0)), hidden.expand(given.values.shape)


def _loss(told: Tensor, values: Tensor, hidden: Tensor) -> Tensor:
    """Mean over what is hidden; 0 where nothing is."""
    if not values.is_floating_point():
        wrong = functional.cross_entropy(told.transpose(1, 2), values, reduction="none")
        wrong = wrong / torch.log(torch.tensor(float(told.shape[-1])))
    else:
        wrong = (told - values).square()
    return (wrong * hidden).sum() / hidden.sum().clamp_min(1)
