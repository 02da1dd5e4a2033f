"""Gathering samples of a batch, and putting them back in their places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusionnas.feature import Feature, pool

Inputs = Mapping[str, Feature]
Present = Mapping[str, Tensor]


def gather(feature: Feature, rows: Tensor) -> Feature:
    """The samples ``rows``; the feature itself where these are all."""
    return feature if len(rows) == len(feature.present) else feature.rows(rows)


def spread(feature: Feature, rows: Tensor, size: int) -> Feature:
    """Samples put back in their places ``rows`` among ``size``; the others lack the feature."""
    if len(rows) == size:
        return feature
    return Feature(*(t.new_zeros(size, *t.shape[1:]).index_copy_(0, rows, t) for t in feature))


def choose(wanted: Tensor, ran: Feature, skipped: Feature) -> Feature:
    """Per sample, ``ran`` where ``wanted`` (B,), else ``skipped``; the shorter one is padded."""
    length = max(ran.values.shape[-2], skipped.values.shape[-2])
    ran, skipped = lengthened(ran, length), lengthened(skipped, length)
    # Logic, not torch.where, for booleans: ONNX Runtime has no such Where.
    return Feature(
        torch.where(wanted[:, None, None], ran.values, skipped.values),
        (wanted[:, None] & ran.mask) | (~wanted[:, None] & skipped.mask),
        (wanted & ran.present) | (~wanted & skipped.present),
    )


def lengthened(feature: Feature, length: int) -> Feature:
    """Padded to ``length`` tokens."""
    missing = length - feature.values.shape[-2]
    if not missing:
        return feature
    values = functional.pad(feature.values, (0, 0, 0, missing))
    return feature._replace(values=values, mask=functional.pad(feature.mask, (0, missing)))


def settled(decision: Tensor, seen: Feature, others: Sequence[Tensor]) -> Tensor:
    """(B,) a gate's decision: open where only something else is there, closed where nothing else is.

    Args:
        decision: (B,), 1 = go on.
        seen: what the gate saw.
        others: (B,) presence of each modality behind the gate.
    """
    return torch.where(seen.present, decision, 1.0) * torch.stack(list(others)).any(0).to(decision.dtype)


def passed_on(linear: nn.Module, feature: Feature, *, tokens: bool) -> Feature:
    """What a skipped node gives: the feature, mapped; as one token, unless the node reads ``tokens``."""
    if not tokens and feature.values.shape[-2] > 1:
        feature = Feature.vector(pool(feature), feature.present)
    return feature._replace(values=torch.where(feature.mask.unsqueeze(-1), linear(feature.values), 0.0))


def encode_rows(
    encode: Callable[[Feature], Sequence[Feature]], feature: Feature, rows: Tensor, nothing: Sequence[Feature]
) -> Sequence[Feature]:
    """Features of the samples ``rows`` that have a modality; the others lack them.

    Args:
        encode: input -> features.
        feature: the input of all samples.
        rows: which of them to encode.
        nothing: the features where none of these has the modality.
    """
    size, rows = len(feature.present), rows[feature.present[rows]]
    return [spread(level, rows, size) for level in encode(gather(feature, rows))] if len(rows) else nothing


def running_rows(rows: Tensor, size: int) -> Tensor:
    """(size,) bool, True at ``rows``."""
    return torch.zeros(size, dtype=torch.bool, device=rows.device).index_fill_(0, rows, True)


def branch(
    wanted: Tensor,
    run: Callable[..., Feature],
    skip: Callable[[], Feature],
    inputs: Inputs,
    present: Present,
    features: list[Feature],
) -> Feature:
    """``run`` for the samples that want it, ``skip`` for the others; neither is called for nobody.

    Args:
        wanted: (B,) bool.
        run: (inputs, present, features) of some samples -> their feature.
        skip: what all samples have otherwise.
        inputs: what ``run`` encodes.
        present: (B,) per modality.
        features: what ``run`` reads.
    """
    rows = wanted.nonzero().squeeze(1)
    if len(rows) == len(wanted):
        return run(inputs, present, features)
    if not len(rows):
        return skip()
    some = {name: feature.rows(rows) for name, feature in inputs.items()}
    there = {name: flags[rows] for name, flags in present.items()}
    ran = run(some, there, [feature.rows(rows) for feature in features])
    return choose(wanted, spread(ran, rows, len(wanted)), skip())
