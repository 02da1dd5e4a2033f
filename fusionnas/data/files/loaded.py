"""What a reader gives for one file or folder, and how several of them become a cohort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fusionnas.data.raw import Ints, Raw, Words
from fusionnas.data.records import Records
from fusionnas.data.tables import is_missing

PARTS = ("train", "alpha", "select", "test")


@dataclass(frozen=True)
class Loaded:
    """One part as it was read; texts throughout where labels, groups and names are concerned.

    Attributes:
        path: where it was read from.
        modalities: inputs by source name.
        target: (N,) labels, or None if the file has none.
        id: (N,) names, or None if the user names no column.
        group: (N,) or None.
        split: (N,) the part of each sample, or None.
        notes: for the reader of the results.
    """

    path: Path
    modalities: Mapping[str, Raw]
    target: Sequence[str] | None = None
    id: Sequence[str] | None = None
    group: Sequence[str] | None = None
    split: Sequence[str] | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path, modalities: Mapping[str, Raw], beside: Mapping[str, Sequence[str] | None]) -> Loaded:
        """Inputs, and what stands beside them by role."""
        target, name, group, split = (beside.get(role) for role in ("target", "id", "group", "split"))
        return cls(path, modalities, target, name, group, split)

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(next(iter(self.modalities.values())))

    @property
    def names(self) -> Sequence[str]:
        """Names of the samples; their place in the file where it gives none."""
        return self.id if self.id is not None else [f"{self.path.name}:{i}" for i in range(self.size)]

    def take(self, index: Ints) -> Loaded:
        """The samples ``index``, which keep their names."""

        def texts(column: Sequence[str] | None) -> list[str] | None:
            return None if column is None else [column[i] for i in index.tolist()]

        inputs = {name: raw.take(index) for name, raw in self.modalities.items()}
        return replace(self, modalities=inputs, target=texts(self.target), id=texts(self.names),
                       group=texts(self.group), split=texts(self.split))  # fmt: skip


def check(part: Loaded, target: str, problems: list[str]) -> None:
    """Lengths agree, labels are there, names are distinct."""
    sizes = {name: len(raw) for name, raw in part.modalities.items()}
    sizes |= {
        name: len(column)
        for name, column in ((f"target '{target}'", part.target), ("id", part.id), ("group", part.group))
        if column is not None
    }
    if len(set(sizes.values())) > 1:
        problems.append(f"{part.path}: lengths differ: {', '.join(f'{name} has {n}' for name, n in sizes.items())}")
    for i, label in enumerate(part.target or ()):
        if is_missing(label):
            problems.append(f"{part.path}: sample {i} has no '{target}'; leave out samples without a label")
            break
    twice = [name for name, n in Counter(part.id or ()).items() if n > 1]
    if twice:
        problems.append(f"{part.path}: {len(twice)} ids appear more than once, such as {twice[0]!r}")


def check_across(parts: Mapping[str, Loaded], problems: list[str]) -> None:
    """No sample in two parts."""
    seen: dict[str, str] = {}
    for name, part in parts.items():
        crossing = [i for i in part.id or () if seen.setdefault(i, name) != name]
        if crossing:
            problems.append(
                f"{part.path}: id {crossing[0]!r} is also in part '{seen[crossing[0]]}' ({len(crossing)} such samples)"
            )


def by_split(part: Loaded, column: str, problems: list[str], *, labelled: bool) -> dict[str, Loaded]:
    """The parts that a column tells apart; without labels, a file that does not tell them is one part."""
    places: dict[str, list[int]] = {}
    for i, name in enumerate(part.split or ()):
        places.setdefault(name.strip(), []).append(i)
    odd = [name for name in places if name not in PARTS]
    if not labelled and (odd or not places):
        return {"train": part}
    problems += [f"{part.path}: '{column}' is '{name}' ({len(places[name])} samples), expected {', '.join(PARTS)}"
                 for name in odd]  # fmt: skip
    if "train" not in places:
        if not labelled:
            return {"train": part}
        problems.append(f"{part.path}: no sample whose '{column}' is train")
    return {name: part.take(np.array(places[name], dtype=np.int64)) for name in PARTS if name in places}


def class_names(parts: Mapping[str, Loaded]) -> tuple[str, ...]:
    """All labels: in numeric order if all are numbers, else in alphabetical order."""
    names = {label for part in parts.values() for label in part.target or ()}
    try:
        return tuple(sorted(names, key=float))
    except ValueError:
        return tuple(sorted(names))


def to_records(part: Loaded, classes: tuple[str, ...]) -> Records:
    """Texts as indices and arrays."""
    place = {name: i for i, name in enumerate(classes)}
    target: Ints | None = (
        None if part.target is None else np.array([place[label] for label in part.target], dtype=np.int64)
    )
    ids: Words = np.array(part.names)
    return Records(dict(part.modalities), target, ids, None if part.group is None else np.array(part.group), classes)
