"""Heads beside the network: one per modality, on its own features alone; they train along and are never kept."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fusionnas.architecture import Point
from fusionnas.feature import Feature, pool
from fusionnas.layers import Linear
from fusionnas.training.method import Features, Reads
from fusionnas.training.scoring import nll


def unimodal(points: tuple[Point, ...], features: Features) -> tuple[Tensor, Tensor]:
    """One modality's pooled features, its views side by side (B, views D), and for which samples it is there (B,)."""
    views: list[Feature] = [features[point] for point in points]
    there = torch.stack([view.present for view in views]).any(0)
    return torch.cat([pool(view) for view in views], -1), there


def mean_where(values: Tensor, there: Tensor) -> Tensor:
    """Mean of ``values`` (B,) over the samples ``there`` (B,); 0 where there are none."""
    return (values * there).sum() / there.sum().clamp_min(1)


class UnimodalHeads(nn.Module):
    """A linear readout per modality.

    Args:
        reads: modalities, width and outputs.
    """

    def __init__(self, reads: Reads) -> None:
        super().__init__()
        self.points: Mapping[str, tuple[Point, ...]] = reads.points
        self.readouts = nn.ModuleList(
            Linear(len(points) * reads.width, reads.outputs) for points in reads.points.values()
        )

    def losses(self, features: Features, target: Tensor) -> Tensor:
        """Mean negative log-likelihood of each modality alone, over the samples that have it; (M,)."""
        found = []
        for points, readout in zip(self.points.values(), self.readouts, strict=True):
            vector, there = unimodal(points, features)
            found.append(mean_where(nll(readout(vector), target), there))
        return torch.stack(found)
