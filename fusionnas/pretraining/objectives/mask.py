"""Objective mask: masked modelling of every modality in the light of the others."""

from __future__ import annotations

from fusionnas.pretraining.base import Kit, ObjectiveFacts, Term, register_objective
from fusionnas.pretraining.masking import Masking

FACTS = ObjectiveFacts(
    formula="mean over modalities of the error at hidden places, told from its other tokens and the other modalities",
    source="Devlin et al., BERT, NAACL 2019, arXiv:1810.04805 (ids); He et al., Masked Autoencoders Are Scalable "
    "Vision Learners, CVPR 2022, arXiv:2111.06377 (numbers)",
    departs="one modality is hidden at a time, the others are whole; hidden tokens are encoded too, as zeros or as "
    "'unknown'; a linear decoder; columns of a vector are hidden one by one",
)


@register_objective("mask", FACTS)
def mask(kit: Kit) -> list[tuple[float, Term]]:
    """Masked modelling alone."""
    return [(1.0, Masking(kit, numbers=0.5, ids=0.15))]
