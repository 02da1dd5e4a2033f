"""BM-NAS as published: both inputs of a node are one mixture, the two strongest are decoded, alphas move at once."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionnas.search.gradient import Relaxed
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.relaxed import relaxed_search
from fusionnas.supernet import Alphas, Mixing
from fusionnas.supernet.mixing import softmax

FACTS = MethodFacts(
    summary="first-order DARTS over pairs of features, trained on one form and decoded to another, as published",
    source='Yin, Huang, Zhang, "BM-NAS: Bilevel Multimodal Neural Architecture Search", 2022, arXiv:2104.09379',
    departs=(
        "operators are those of the space, one per node, no inner steps; edges between nodes are decoded too; the "
        "protocol is clean (alphas on the alpha part, nothing chosen on test). Kept: all slots share one softmax, so "
        "that the supernet fuses a mixture with itself; alphas move from the first epoch on, search.warmup is not used"
    ),
    relaxed=True,
)


@register_method("bm_nas", FACTS)
def bm_nas(task: Task) -> Found:
    """One supernet, one finalist."""
    fewest = task.space.file.fusion.inputs[0]

    def mixing(alphas: Alphas, share: float) -> Mixing:
        groups = alphas.mixing(softmax).groups()
        shared = {name: _one_for_all(rows, fewest) for name, rows in groups.items() if name.startswith("alpha.")}
        return Mixing.of({**groups, **shared})

    relaxed = Relaxed.of(task.space.file.search, mixing, moves=lambda share: True, order="first")
    return relaxed_search(task, relaxed)


def _one_for_all(rows: Tensor, fewest: int) -> Tensor:
    """The first slot's weights in the ``fewest`` slots that a node must fill; nothing in the others."""
    nothing = torch.zeros_like(rows[fewest:])
    nothing[:, -1] = 1.0
    return torch.cat((rows[:1].expand(fewest, -1), nothing))
