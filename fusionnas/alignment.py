"""Alignment maps of a trained network: how the tokens of two modalities are moved onto each other at least cost.

For text and pictures this is the word-patch alignment of ViLT (Kim et al., ICML 2021, arXiv:2102.03334): one map of
patches per word. Tokens are taken where both modalities have been read together, else at the deepest level read.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fusionnas.architecture import Point
from fusionnas.errors import InputError, did_you_mean
from fusionnas.feature import Feature
from fusionnas.network import FusionNetwork
from fusionnas.operators.joint_transformer import JointTransformer
from fusionnas.transport import cosine_cost, transport


def sequences(network: FusionNetwork) -> list[str]:
    """Modalities that the network reads as sequences of tokens, in declared order."""
    inputs = network.signature.inputs
    deepest = {point.modality for point in network.architecture.points()}
    return [name for name in inputs if name in deepest and inputs[name].tokens > 1]


@torch.no_grad()
def alignment_map(network: FusionNetwork, inputs: Mapping[str, Feature], first: str, second: str) -> Tensor:
    """Transport plan (B, T_first, T_second) between two modalities' tokens, in eval mode.

    A row says, for one token of ``first``, how its even share of weight is dealt to the tokens of ``second``; rows and
    columns of padding are zero, and so is everything where a sample lacks one of the two.

    Args:
        network: trained.
        inputs: by modality, as the network reads them.
        first, second: two of :func:`sequences`.

    Raises:
        InputError: the network does not read these as sequences.
    """
    known = sequences(network)
    wrong = [f"'{name}':{did_you_mean(name, known)}" for name in (first, second) if name not in known]
    if wrong:
        raise InputError("an alignment is between two modalities that the network reads as sequences", wrong)
    tokens = token_features(network, inputs)
    a, b = tokens[first], tokens[second]
    return transport(cosine_cost(a, b), a.mask, b.mask)


@torch.no_grad()
def token_features(network: FusionNetwork, inputs: Mapping[str, Feature]) -> dict[str, Feature]:
    """Each modality's deepest tokens that are read; behind the joint transformer, where there is one over them."""
    network.eval()
    features = network.encode(inputs)
    found = {point.modality: features[point] for point in sorted(features, key=lambda point: point.level)}
    for operator, plan in zip(network.head.nodes, network.head.plan, strict=False):
        points = [source for source in plan if isinstance(source, Point)]
        if isinstance(operator, JointTransformer) and len(points) == len(plan):
            read = operator.contextual([features[point] for point in points])
            found |= {point.modality: feature for point, feature in zip(points, read, strict=True)}
    return found
