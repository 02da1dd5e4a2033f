"""SPOS: a supernet trained path by path, searched by evolution with its shared weights."""

from __future__ import annotations

import random

import torch

from fusionnas.search.gradient import Relaxed
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.relaxed import relaxed_search
from fusionnas.supernet import Alphas, Mixing, one_hot
from fusionnas.supernet.mixing import softmax

FACTS = MethodFacts(
    summary="one uniformly drawn architecture per training step; then evolution, scored with shared weights",
    source='Guo et al., "Single Path One-Shot NAS with Uniform Sampling", 2020, arXiv:1904.00420',
    departs="whole architectures of the space are drawn; search.decoder: shared_weights unless another is given",
    relaxed=True,
)


@register_method("spos", FACTS)
def spos(task: Task) -> Found:
    """One supernet without alphas."""
    space = task.space

    def path(alphas: Alphas, share: float) -> Mixing:
        rng = random.Random(int(torch.randint(2**62, ())))
        return one_hot(space, space.sample(rng))

    relaxed = Relaxed(path, settled=lambda alphas: alphas.mixing(softmax), learned=())
    return relaxed_search(task, relaxed, decoder="shared_weights")
