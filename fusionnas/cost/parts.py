"""An architecture as the parts that it runs: what is measured once and added up for every architecture.

A part is named by a text: ``stem/vitals``, ``layer/vitals/gru``, ``pool/24`` (the mean over 24 tokens),
``operator/gated/3`` (three vectors), ``operator/cross_attention/2/24x1`` (24 tokens attend to sources of 1),
``wide/labs``, ``readout``, and ``network``: what a forward pass costs besides its parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from fusionnas.architecture import Architecture, NodeRef, Point, Source
from fusionnas.feature import Signature
from fusionnas.operators import operators

Tokens = Mapping[str, int]
"""Tokens that an operator part gives out, by its name; needed of operators that read sequences."""


def operator_part(operator: str, inputs: int, first: int, others: int) -> str:
    """The part of an operator over ``inputs`` features: one of ``first`` tokens, then ones of ``others`` each."""
    if operators[operator].sequence:
        return f"operator/{operator}/{inputs}/{first}x{others}"
    return f"operator/{operator}/{inputs}"


def operator_parts(operator: str, tokens: Sequence[int]) -> dict[str, float]:
    """Weights of the parts that stand for an operator over features of such lengths.

    Other sources of different lengths count as the mean of the operator over sources of equal length: exact where
    the cost is a sum over sources, as it is in attention.
    """
    if not operators[operator].sequence:
        return {operator_part(operator, len(tokens), 1, 1): 1.0}
    first, *others = tokens
    counts = Counter(others)
    return {operator_part(operator, len(tokens), first, t): n / len(others) for t, n in counts.items()}


def parts_of(
    architecture: Architecture, signature: Signature, given: Tokens, wide: Sequence[str] = ()
) -> Counter[str]:
    """Every part of the built network with the number of times that it runs (shares for lengths that mix).

    Args:
        architecture: what would be built.
        signature: sizes of the inputs.
        given: see :data:`Tokens`.
        wide: modalities with a wide path, if they are read.
    """
    parts: Counter[str] = Counter({"network": 1, "readout": 1})
    for name, layers in architecture.layers:
        parts[f"stem/{name}"] += 1
        for layer in layers:
            parts[f"layer/{name}/{layer}"] += 1
        if name in wide:
            parts[f"wide/{name}"] += 1
    lengths: dict[Source, int] = {point: signature.inputs[point.modality].tokens for point in architecture.points()}
    for index, node in enumerate(architecture.nodes):
        tokens = [lengths[source] for source in node.inputs]
        lengths[NodeRef(index)] = 1
        if not operators[node.operator].sequence:
            parts.update(f"pool/{length}" for length in tokens if length > 1)
        for part, share in operator_parts(node.operator, tokens).items():
            parts[part] += share  # type: ignore[assignment]
            lengths[NodeRef(index)] = max(lengths[NodeRef(index)], given.get(part, 1))
    if lengths[architecture.output] > 1:
        parts[f"pool/{lengths[architecture.output]}"] += 1
    return parts


def modality_of(part: str) -> str | None:
    """The modality whose encoder a part belongs to; None for parts of the head."""
    kind, _, rest = part.partition("/")
    return rest.split("/")[0] if kind in ("stem", "layer", "wide") else None


def point_parts(point: Point, layers: Sequence[str]) -> list[str]:
    """The parts of one modality's encoder up to a level."""
    return [f"stem/{point.modality}", *(f"layer/{point.modality}/{layer}" for layer in layers[: point.level])]
