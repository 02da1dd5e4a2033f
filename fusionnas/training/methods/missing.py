"""Modality dropout: samples lose modalities while training, so that the network bears a missing one later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch

from fusionnas.training.method import Inputs, Reads, TrainingFacts, TrainingMethod, register_training
from fusionnas.training.recipe import Recipe


@register_training("missing")
class Missing(TrainingMethod):
    """Each sample loses each modality with chance ``rate``, all views of it at once.

    A sample never loses all that it has: where chance takes everything, one modality that it has, drawn evenly, stays.

    Args:
        views: names of the views by modality.
        rate: chance p.
    """

    facts: ClassVar[TrainingFacts] = TrainingFacts(
        key="training.robustness.missing: p",
        formula="m_i ~ Bernoulli(1 - p) per sample and modality; modality i is absent where m_i = 0; never all",
        source="Neverova et al., ModDrop: adaptive multi-modal gesture recognition, TPAMI 2016, arXiv:1501.00102",
        departs="a missing modality is a flag that encoders and operators heed, not an input of zeros; one modality is "
        "always left; chances do not differ between modalities",
    )
    order: ClassVar[int] = 0
    changes_inputs: ClassVar[bool] = True

    def __init__(self, views: Mapping[str, tuple[str, ...]], rate: float) -> None:
        super().__init__()
        self.views, self.rate = dict(views), rate

    @classmethod
    def of(cls, recipe: Recipe, reads: Reads) -> TrainingMethod | None:
        """Off at rate 0, and for a network that reads one modality."""
        rate = recipe.training.robustness.missing
        return cls(reads.views(), rate) if rate > 0 and len(reads.points) > 1 else None

    def inputs(self, inputs: Inputs) -> Inputs:
        """Inputs by modality, some samples without some of them."""
        there = torch.stack([torch.stack([inputs[v].present for v in views]).any(0) for views in self.views.values()])
        draw = torch.rand(there.shape).to(there.device)
        kept = there & (draw >= self.rate)
        last = torch.where(there, draw, -1.0).argmax(0)  # of those that are there, the luckiest
        kept |= there & ~kept.any(0) & (torch.arange(len(there), device=there.device).unsqueeze(1) == last)
        changed = dict(inputs)
        for row, views in zip(kept, self.views.values(), strict=True):
            for view in views:
                changed[view] = inputs[view].only(row)
        return changed
