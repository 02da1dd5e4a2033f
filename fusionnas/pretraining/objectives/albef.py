"""Objective albef: align before fuse."""

from __future__ import annotations

from fusionnas.pretraining.base import Kit, ObjectiveFacts, Term, register_objective
from fusionnas.pretraining.contrast import MomentumContrast
from fusionnas.pretraining.masking import Masking
from fusionnas.pretraining.matching import Matching

FACTS = ObjectiveFacts(
    formula="contrast (momentum copies, queues, soft targets) + matching (hard negatives) + masked modelling, 1:1:1",
    source="Li et al., Align before Fuse: Vision and Language Representation Learning with Momentum Distillation, "
    "NeurIPS 2021, arXiv:2107.07651",
    departs="any modalities, each masked and matched in turn; momentum distillation of the contrast alone; "
    "one process, queues of any size; hard negatives drawn by the Gumbel trick, so batches of one and two are safe",
)


@register_objective("albef", FACTS)
def albef(kit: Kit) -> list[tuple[float, Term]]:
    """Contrast, matching and masked modelling."""
    contrast = MomentumContrast(kit)
    return [(1.0, contrast), (1.0, Matching(kit, hard=contrast.similarity)), (1.0, Masking(kit, numbers=0.5, ids=0.15))]
