"""How the found network does where a modality is missing: each one taken away from every test sample in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fusionnas.data.base import Part
from fusionnas.network import predict
from fusionnas.search.compare import summary
from fusionnas.search.method import Task
from fusionnas.search.references import sources
from fusionnas.search.retrain import Retrained


def logits_without(task: Task, trained: Sequence[Retrained], part: Part) -> dict[str, Tensor]:
    """Logits (S, N, C) of all networks without each modality that they read; {} where they read one alone.

    A modality goes with all its views, as a flag: the network then computes as for a sample that never had it.
    """
    groups, read = task.space.groups(), sources(task.space, trained[0].architecture)
    if len(read) < 2:
        return {}
    networks, found = [one.network(task.problem) for one in trained], {}
    for source in read:
        inputs = {name: f.absent() if name in groups[source] else f for name, f in part.inputs.items()}
        found[source] = torch.stack([predict(network, inputs) for network in networks])
    return found


def robustness(task: Task, without: Mapping[str, Tensor], target: Tensor) -> dict[str, Any]:
    """What ``results.json`` says: every metric, mean over networks, without each modality."""
    return {
        "trained_for": task.space.file.training.robustness.missing,
        "missing": {
            source: {name: row["mean"] for name, row in summary(logits, target).items()}
            for source, logits in without.items()
        },
    }
