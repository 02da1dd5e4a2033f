"""What a reader gives for one file or folder, and how several of them become a cohort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fusionnas.data.raw import Ints, Raw, Words
from fusionnas.data.records import Records
from fusionnas.data.tables import is_missing


@dataclass(frozen=True)
class Loaded:
    """One part as it was read; texts throughout where labels, groups and names are concerned.

    Attributes:
        path: where it was read from.
        modalities: inputs by source name.
        labels: (N,) or None if the file has none.
        ids: (N,) or None if the user names no column.
        groups: (N,) or None.
        notes: for the reader of the results.
    """

    path: Path
    modalities: Mapping[str, Raw]
    labels: Sequence[str] | None
    ids: Sequence[str] | None
    groups: Sequence[str] | None
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(next(iter(self.modalities.values())))


def check(part: Loaded, target: str, problems: list[str]) -> None:
    """Lengths agree, labels are there, names are distinct."""
    sizes = {name: len(raw) for name, raw in part.modalities.items()}
    sizes |= {
        name: len(column)
        for name, column in ((f"target '{target}'", part.labels), ("id", part.ids), ("group", part.groups))
        if column is not None
    }
    if len(set(sizes.values())) > 1:
        problems.append(f"{part.path}: lengths differ: {', '.join(f'{name} has {n}' for name, n in sizes.items())}")
    for i, label in enumerate(part.labels or ()):
        if is_missing(label):
            problems.append(f"{part.path}: sample {i} has no '{target}'; leave out samples without a label")
            break
    twice = [name for name, n in Counter(part.ids or ()).items() if n > 1]
    if twice:
        problems.append(f"{part.path}: {len(twice)} ids appear more than once, such as {twice[0]!r}")


def check_across(parts: Mapping[str, Loaded], problems: list[str]) -> None:
    """No sample in two parts."""
    seen: dict[str, str] = {}
    for name, part in parts.items():
        crossing = [i for i in part.ids or () if seen.setdefault(i, name) != name]
        if crossing:
            problems.append(
                f"{part.path}: id {crossing[0]!r} is also in part '{seen[crossing[0]]}' ({len(crossing)} such samples)"
            )


def class_names(parts: Mapping[str, Loaded]) -> tuple[str, ...]:
    """All labels: in numeric order if all are numbers, else in alphabetical order."""
    names = {label for part in parts.values() for label in part.labels or ()}
    try:
        return tuple(sorted(names, key=float))
    except ValueError:
        return tuple(sorted(names))


def to_records(part: Loaded, classes: tuple[str, ...]) -> Records:
    """Texts as indices and arrays."""
    place = {name: i for i, name in enumerate(classes)}
    target: Ints | None = (
        None if part.labels is None else np.array([place[label] for label in part.labels], dtype=np.int64)
    )
    ids: Words = np.array(part.ids if part.ids is not None else [f"{part.path.name}:{i}" for i in range(part.size)])
    return Records(dict(part.modalities), target, ids, None if part.groups is None else np.array(part.groups), classes)
