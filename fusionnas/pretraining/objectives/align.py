"""Objective align: contrastive alignment of every pair of modalities."""

from __future__ import annotations

from fusionnas.pretraining.base import Kit, ObjectiveFacts, Term, register_objective
from fusionnas.pretraining.contrast import Contrast

FACTS = ObjectiveFacts(
    formula="mean over pairs of -log softmax_c(u_b . v_c / t) at c = b, both ways; u, v projected features of length 1",
    source="Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021, "
    "arXiv:2103.00020",
    departs="any kinds of modalities, all pairs; linear projections of pooled top levels; samples that lack one of the "
    "pair sit out",
)


@register_objective("align", FACTS)
def align(kit: Kit) -> list[tuple[float, Term]]:
    """In-batch contrast alone."""
    return [(1.0, Contrast(kit))]
