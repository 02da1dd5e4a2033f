"""Objective vilt: matching, word-patch alignment and masked modelling."""

from __future__ import annotations

from fusionnas.pretraining.base import Kit, ObjectiveFacts, Term, register_objective
from fusionnas.pretraining.masking import Masking
from fusionnas.pretraining.matching import Matching
from fusionnas.pretraining.word_patch import WordPatch

FACTS = ObjectiveFacts(
    formula="matching + 0.1 (transport cost within samples - across samples) + masked modelling",
    source="Kim et al., ViLT: Vision-and-Language Transformer Without Convolution or Region Supervision, ICML 2021, "
    "arXiv:2102.03334",
    departs="numbers (patches) are masked too; single ids instead of whole words; transport in logarithms with masks",
)


@register_objective("vilt", FACTS)
def vilt(kit: Kit) -> list[tuple[float, Term]]:
    """Matching, word-patch alignment, masked modelling."""
    return [(1.0, Matching(kit)), (0.1, WordPatch(kit)), (1.0, Masking(kit, numbers=0.15, ids=0.15))]
