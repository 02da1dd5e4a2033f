"""Records: N samples as they were loaded, every input of each, with names, labels and groups."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionnas.data.raw import Grid, Ints, Raw, Series, Table, Tokens, Words
from fusionnas.errors import DataError, did_you_mean

__all__ = ["Grid", "Raw", "Records", "Series", "Table", "Tokens"]


@dataclass(frozen=True)
class Records:
    """Raw samples.

    Attributes:
        modalities: per source name, the raw input of all N samples.
        target: (N,) index into ``classes``, or None when labels are not known.
        ids: (N,) names of the samples.
        groups: (N,) what must not be split over parts (patient, speaker), or None.
        classes: names of the labels.
    """

    modalities: Mapping[str, Raw]
    target: Ints | None
    ids: Words
    groups: NDArray[Any] | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sizes = {name: len(raw) for name, raw in self.modalities.items()} | {"ids": len(self.ids)}
        assert len(set(sizes.values())) == 1, f"inputs of one data set differ in length: {sizes}"
        assert self.target is None or len(self.target) == len(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: Ints) -> Records:
        """The samples ``index``, in that order."""
        index = np.asarray(index, dtype=np.int64)
        return replace(
            self,
            modalities={name: raw.take(index) for name, raw in self.modalities.items()},
            ids=self.ids[index],
            target=None if self.target is None else self.target[index],
            groups=None if self.groups is None else self.groups[index],
        )

    def against(self, positive: str) -> Records:
        """The same samples with two labels: ``positive``, and everything else as ``not <positive>``, which comes first.

        Raises:
            DataError: there are labels, but none is ``positive`` although there are several.
        """
        classes = (f"not {positive}", positive)
        if self.target is None or self.classes == classes:
            return replace(self, classes=classes)
        if positive not in self.classes and len(self.classes) > 1:
            raise DataError(
                "the data have no such label", [f"task.positive: '{positive}'.{did_you_mean(positive, self.classes)}"]
            )
        hit = np.array([name == positive for name in self.classes])
        return replace(self, classes=classes, target=hit[self.target].astype(np.int64))

    def digest(self) -> str:
        """Hash of everything in the records: equal digests, equal data."""
        state = hashlib.blake2b(digest_size=16)
        for name, raw in sorted(self.modalities.items()):
            _feed(state, name)
            for value in vars(raw).values():
                _feed(state, value)
        for part in (self.target, self.ids, self.groups, self.classes):
            _feed(state, part)
        return state.hexdigest()


def _feed(state: hashlib.blake2b, value: object) -> None:
    if isinstance(value, np.ndarray):
        text = value.dtype.kind in "UO"
        state.update(repr(value.shape).encode())
        state.update("\0".join(map(str, value.tolist())).encode() if text else np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        for key in sorted(value):
            _feed(state, key)
            _feed(state, value[key])
    else:
        state.update(repr(value).encode())
