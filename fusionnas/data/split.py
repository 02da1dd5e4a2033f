"""Splitting samples into disjoint parts: stratified by label, groups never torn apart, the same for one seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fusionnas.data.raw import Floats, Ints
from fusionnas.errors import DataError


def split(
    target: Ints,
    fractions: Mapping[str, float],
    rng: Generator,
    *,
    groups: NDArray[Any] | None = None,
    classes: tuple[str, ...] = (),
) -> tuple[dict[str, Ints], list[str]]:
    """Cut N samples into parts.

    Each label is shared out in proportion (largest remainders), every part getting at least one sample of it. A
    label with fewer samples (or groups) than parts goes to the first part, and a note says so. With groups, whole
    groups are dealt in random order, large ones first, each to the part that lacks its labels most.

    Args:
        target: (N,) labels.
        fractions: share of each part, the first of them the part for training; they sum to 1.
        rng: the only source of randomness.
        groups: (N,) values that must stay together, or None.
        classes: names of the labels, for messages.

    Returns:
        Sorted indices per part, and notes for the reader of the results.

    Raises:
        DataError: too few samples or groups, or a part would have a single label.
    """
    shares = np.array(list(fractions.values()))
    assert abs(shares.sum() - 1) < 1e-9 and (shares > 0).all(), f"fractions must be positive and sum to 1: {fractions}"
    group = np.arange(len(target)) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    labels = np.unique(target, return_inverse=True)[1].reshape(-1)
    table = np.zeros((group.max(initial=-1) + 1, labels.max(initial=-1) + 1), dtype=np.int64)
    np.add.at(table, (group, labels), 1)
    what = "samples" if groups is None else "groups"
    names = [classes[i] if i < len(classes) else str(i) for i in np.unique(target)]
    _enough(table, len(shares), what, names)
    notes = [
        f"label '{name}' has {n} {what}, fewer than the {len(shares)} parts: all in {next(iter(fractions))}"
        for name, n in zip(names, (table > 0).sum(0), strict=True)
        if n < len(shares)
    ]
    part = _deal(table, shares, rng) if (table.sum(1) > 1).any() else _cut(table.argmax(1), shares, rng)
    place = part[group]
    parts = {name: np.flatnonzero(place == i).astype(np.int64) for i, name in enumerate(fractions)}
    check_parts(parts, target, classes)
    return parts, notes


def check_parts(parts: Mapping[str, Ints], target: Ints, classes: tuple[str, ...] = ()) -> None:
    """Refuse parts in which there is nothing to tell apart.

    Raises:
        DataError: an empty part, or one with a single label.
    """
    problems = []
    for name, index in parts.items():
        found = np.unique(target[index])
        if len(found) < 2:
            only = "no sample" if not len(found) else f"only label '{classes[found[0]] if classes else found[0]}'"
            problems.append(
                f"part '{name}' ({len(index)} samples) has {only}: give more data, or parts of your own "
                "with two labels each"
            )
    if problems:
        raise DataError("a part of the data cannot be used", problems)


def _enough(table: Ints, parts: int, what: str, names: list[str]) -> None:
    """Two labels must reach every part."""
    spread = (table > 0).sum(0)
    if (spread >= parts).sum() >= 2:
        return
    counts = ", ".join(f"'{name}' {n}" for name, n in zip(names, spread, strict=True)) or "none"
    raise DataError(
        "the data cannot be split",
        [
            f"{parts} disjoint parts with two labels each need at least {parts} {what} of two labels; {what} by "
            f"label: {counts}"
        ],
    )


def _cut(label: Ints, shares: Floats, rng: Generator) -> Ints:
    """Single samples: per label, shuffle and cut. Rare labels go to part 0."""
    part = np.zeros(len(label), dtype=np.int64)
    for value in range(label.max() + 1):
        mine = rng.permutation(np.flatnonzero(label == value))
        if len(mine) >= len(shares):
            part[mine] = np.repeat(np.arange(len(shares)), _sizes(len(mine), shares))
    return part


def _sizes(total: int, shares: Floats) -> Ints:
    """Whole numbers in proportion to ``shares``, at least 1 each, that sum to ``total``."""
    spare = total - len(shares)
    exact = np.maximum(shares * total - 1, 0)
    exact = exact * spare / max(exact.sum(), 1e-12)
    sizes: Ints = np.floor(exact).astype(np.int64)
    for i in np.argsort(-(exact - sizes), kind="stable")[: spare - sizes.sum()]:
        sizes[i] += 1
    return sizes + 1


def _deal(table: Ints, shares: Floats, rng: Generator) -> Ints:
    """Whole groups, large ones first, each where it brings the shares of its labels closest to what is wanted.

    "Closest" is the sum over parts and labels of (wanted - given)^2 / share. A label that must still reach as many
    parts as it has groups left goes to one of those parts.
    """
    spread, total = (table > 0).sum(0), np.maximum(table.sum(0), 1)
    common = spread >= len(shares)
    order = rng.permutation(len(table))
    order = order[np.argsort(-table.sum(1)[order], kind="stable")]
    wanted = np.repeat(shares[:, None], len(total), 1)
    left, unmet = spread.copy(), np.repeat(common[None, :], len(shares), 0)
    part = np.zeros(len(table), dtype=np.int64)
    for group in order:
        has = table[group] > 0
        row = table[group] / total
        if common[has].all():
            cost = ((row - 2 * wanted) * row).sum(1) / shares
            urgent = has & (left <= unmet.sum(0))
            cost[~unmet[:, urgent].any(1)] += 1e9 * urgent.any()
            part[group] = int(np.argmin(cost))
        wanted[part[group]] -= row
        unmet[part[group], has] = False
        left[has] -= 1
    return part
