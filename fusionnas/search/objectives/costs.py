"""Costs of a network: weights, multiply-adds, milliseconds, and the modalities that must be there."""

from __future__ import annotations

import torch

from fusionnas.architecture import Architecture
from fusionnas.errors import FusionNASError
from fusionnas.network import build
from fusionnas.search.method import Problem
from fusionnas.search.objective import register_cost
from fusionnas.search.references import sources


@register_cost("parameters", summary="weights of the network")
def parameters(problem: Problem, architecture: Architecture) -> float:
    """By the table of parts, where there is one; else counted on the built network. Both give the same."""
    if problem.costs is not None:
        return float(problem.costs.parameters(architecture))
    with torch.device("meta"):
        network = build(problem.space, architecture, problem.data.signature)
    return float(sum(parameter.numel() for parameter in network.parameters()))


@register_cost("modalities", summary="modalities that the network reads; views of one source count once")
def modalities(problem: Problem, architecture: Architecture) -> float:
    """What has to be measured, recorded or paid for per sample."""
    return float(len(sources(problem.space, architecture)))


@register_cost("macs", summary="multiply-adds of matrix products per sample")
def macs(problem: Problem, architecture: Architecture) -> float:
    """By the table of parts that was measured at the start of the run."""
    return _measured(problem, architecture, "macs")


@register_cost("latency_ms", summary="predicted time of a batch of search.cost.batch_size on this machine", unit="ms")
def latency_ms(problem: Problem, architecture: Architecture) -> float:
    """By the table of parts that was measured at the start of the run; another run measures anew."""
    return _measured(problem, architecture, "latency_ms")


def _measured(problem: Problem, architecture: Architecture, name: str) -> float:
    if problem.costs is None:
        raise FusionNASError(f"'{name}' needs the costs of this machine (fusionnas.search.price.measured_costs)")
    return float(getattr(problem.costs, name)(architecture))
