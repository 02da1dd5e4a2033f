"""Objective vlc: captions only."""

from __future__ import annotations

from fusionnas.pretraining.base import Kit, ObjectiveFacts, Term, register_objective
from fusionnas.pretraining.masking import Masking
from fusionnas.pretraining.matching import Matching

FACTS = ObjectiveFacts(
    formula="masked modelling (0.6 of the numbers, 0.15 of the ids) + matching",
    source="Gui et al., Training Vision-Language Transformers from Captions, 2022, arXiv:2205.09256",
    departs="starts from nothing instead of a masked autoencoder's weights; matching sees whole inputs, not masked "
    "ones; reconstruction is of standardised inputs by a linear decoder",
)


@register_objective("vlc", FACTS)
def vlc(kit: Kit) -> list[tuple[float, Term]]:
    """Masked reconstruction and matching: no label, no region, no class."""
    return [(1.0, Masking(kit, numbers=0.6, ids=0.15)), (1.0, Matching(kit))]
