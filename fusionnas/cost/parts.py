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
from fusionnas.network import decides
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


def parts_by_source(
    architecture: Architecture, signature: Signature, given: Tokens, wide: Sequence[str] = ()
) -> dict[Source | None, Counter[str]]:
    """The parts that compute each fusion point from the level below and each node from its inputs; None: the rest.

    Args:
        architecture: what would be built.
        signature: sizes of the inputs.
        given: see :data:`Tokens`.
        wide: modalities with a wide path, if they are read; it counts with level 0.
    """
    rest = ["network"] if decides(architecture) else ["network", "readout"]
    found: dict[Source | None, Counter[str]] = {None: Counter(rest)}
    lengths: dict[Source, int] = {}
    for name, layers in architecture.layers:
        names = [f"stem/{name}", *(f"layer/{name}/{layer}" for layer in layers)]
        found |= {Point(name, level): Counter({part: 1}) for level, part in enumerate(names)}
        found[Point(name, 0)].update([f"wide/{name}"] if name in wide else [])
        lengths |= {Point(name, level): signature.inputs[name].tokens for level in range(len(names))}
    for index, node in enumerate(architecture.nodes):
        tokens, parts = [lengths[source] for source in node.inputs], found.setdefault(NodeRef(index), Counter())
        lengths[NodeRef(index)] = 1
        if not operators[node.operator].sequence:
            parts.update(f"pool/{length}" for length in tokens if length > 1)
        for part, share in operator_parts(node.operator, tokens).items():
            parts[part] += share  # type: ignore[assignment]
            lengths[NodeRef(index)] = max(lengths[NodeRef(index)], given.get(part, 1))
    if lengths[architecture.output] > 1:
        found[None][f"pool/{lengths[architecture.output]}"] += 1
    return found
