"""PC-DARTS: in every step only some channels go through the operators, the others pass by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import nn

from fusionnas.feature import Feature, pool
from fusionnas.operators.base import FusionOperator
from fusionnas.search.gradient import Relaxed
from fusionnas.search.method import Found, MethodFacts, Task, register_method
from fusionnas.search.relaxed import relaxed_search
from fusionnas.space.schema import Section
from fusionnas.supernet import Supernet
from fusionnas.supernet.mixing import softmax

FACTS = MethodFacts(
    summary="DARTS that sends a random part of the channels through the operators; the rest is the inputs' mean",
    source='Xu et al., "PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture Search", 2020, '
    "arXiv:1907.05737",
    departs=(
        "channels are drawn anew in every step, operators keep their width (nothing is saved but noise is added, as "
        "published); edge normalisation is what the slots' softmax does here; scoring and decode use all channels"
    ),
    relaxed=True,
)


class Options(Section):
    """How much passes by."""

    parts: int = Field(4, ge=1, description="One channel in so many goes through the operators.", examples=[2])


@register_method("pc_darts", FACTS, Options)
def pc_darts(task: Task) -> Found:
    """One supernet, decoded by the largest weights."""
    parts = task.options(Options).parts

    def prepare(supernet: Supernet) -> None:
        for operator in supernet.modules():
            if isinstance(operator, FusionOperator):
                PartialChannels(parts).around(operator)

    relaxed = Relaxed.of(task.space.file.search, lambda alphas, share: alphas.mixing(softmax), prepare=prepare)
    return relaxed_search(task, relaxed)


class PartialChannels:
    """Lets only some channels through an operator while it trains.

    Args:
        parts: one channel in ``parts`` goes through, drawn in every pass from torch's generator.
    """

    def __init__(self, parts: int) -> None:
        self._parts = parts
        self._through, self._past = torch.ones(1), torch.zeros(1)

    def around(self, operator: FusionOperator) -> None:
        """Apply to every later pass of ``operator``."""
        operator.register_forward_pre_hook(self._before)
        operator.register_forward_hook(self._after)

    def _before(self, operator: nn.Module, arguments: tuple[Sequence[Feature]]) -> tuple[list[Feature]] | None:
        if not operator.training:
            return None
        (inputs,) = arguments
        width = inputs[0].values.shape[-1]
        chosen = torch.randperm(width)[: max(1, width // self._parts)]
        self._through = torch.zeros(width).index_fill(0, chosen, 1.0).to(inputs[0].values.device)
        self._past = torch.stack([pool(feature) for feature in inputs]).mean(0).unsqueeze(-2)
        return ([feature._replace(values=feature.values * self._through) for feature in inputs],)

    def _after(self, operator: nn.Module, arguments: tuple[Sequence[Feature]], output: Feature) -> Feature | None:
        if not operator.training:
            return None
        mixed = output.values * self._through + self._past * (1 - self._through)
        return output._replace(values=mixed * output.mask.unsqueeze(-1))
