"""View ``plain``: a table or vector as one token (N, 1, R)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fusionnas.data.raw import Floats, Raw, Table, Words, as_words
from fusionnas.data.views.base import View, feature
from fusionnas.data.views.scaling import Scaling
from fusionnas.errors import DataError
from fusionnas.feature import Feature, InputSpec

if TYPE_CHECKING:
    from fusionnas.space.schema import Modality

MOST_LEVELS = 200
"""Categories of one column with an indicator of their own; rarer ones share "unknown"."""


@dataclass(frozen=True)
class Plain(View):
    """Standardised numbers (missing -> 0), an indicator per column that has gaps, one-hot categories.

    Each category column ends in one more indicator, "unknown": a category that the train part lacks, or too
    rare a one. An empty field has no indicator at all, unless the train part has empty fields.

    Attributes:
        scaling: statistics of the number columns.
        gaps: number columns with missing values in the train part.
        levels: per category column, its name and its categories.
    """

    scaling: Scaling
    gaps: tuple[str, ...]
    levels: tuple[tuple[str, tuple[str, ...]], ...]

    name: ClassVar[str] = "plain"
    raw: ClassVar[type[Raw]] = Table

    @classmethod
    def fit(cls, raw: Table, modality: Modality) -> Plain:
        """Statistics of the train part."""
        names, values, words = _columns(raw, modality.categorical)
        column = np.broadcast_to(np.arange(len(names)), values.shape)
        scaling = Scaling.fit(
            names, column.ravel(), values.ravel(), ranges={**raw.ranges, **modality.ranges}, log=modality.log or raw.log
        )
        gap = np.isnan(scaling.clean(values, np.arange(len(names)))).any(0) & np.array(scaling.seen, dtype=bool)
        levels = tuple((name, _levels(column)) for name, column in words.items())
        return cls(scaling, tuple(n for n, g in zip(names, gap, strict=True) if g), levels)

    def transform(self, raw: Table) -> Feature:
        """(N, 1, R).

        Raises:
            DataError: a column of the train part is missing, or holds words where it held numbers.
        """
        found, values, words = _columns(raw, tuple(name for name, _ in self.levels))
        names = self.scaling.names
        problems = [f"column '{name}' is missing" for name, _ in self.levels if name not in words]
        problems += [f"column '{name}' {_not_numbers(words.get(name))}" for name in names if name not in found]
        if problems:
            raise DataError("a table differs from the one in training", problems)
        standard = self.scaling.apply(values[:, [found.index(name) for name in names]], np.arange(len(names)))
        gaps = np.isnan(standard[:, self.scaling.index(self.gaps)])
        parts = [standard, gaps, *(_one_hot(words[name], levels) for name, levels in self.levels)]
        return feature(np.concatenate(parts, 1)[:, None, :], raw.present)

    @property
    def spec(self) -> InputSpec:
        """One token."""
        return InputSpec(len(self.scaling.names) + len(self.gaps) + sum(len(levels) + 1 for _, levels in self.levels))

    def coverage(self, given: Feature) -> dict[str, float]:
        """Per column with gaps in the train part."""
        start = len(self.scaling.names)
        missing = given.values[:, 0, start : start + len(self.gaps)].mean(0)
        return {name: 1 - float(share) for name, share in zip(self.gaps, missing, strict=True)}

    def notes(self) -> list[str]:
        """Implausible values and empty columns."""
        return self.scaling.notes()


def _columns(raw: Table, categorical: tuple[str, ...]) -> tuple[tuple[str, ...], Floats, dict[str, Words]]:
    """Names and values of the number columns, and the category columns, with ``categorical`` moved over."""
    words = dict(raw.words)
    for name in categorical:
        if name in raw.names:
            words[name] = as_words(raw.values[:, raw.names.index(name)])
    keep = [i for i, name in enumerate(raw.names) if name not in words]
    return tuple(raw.names[i] for i in keep), raw.values[:, keep], words


def _not_numbers(column: Words | None) -> str:
    return "is missing" if column is None else f"held numbers in training, now it holds {str(max(column))!r}"


def _levels(column: Words) -> tuple[str, ...]:
    names, counts = np.unique(column, return_counts=True)
    frequent = np.sort(np.argsort(-counts, kind="stable")[:MOST_LEVELS])
    return tuple(names[frequent].tolist())


def _one_hot(column: Words, levels: tuple[str, ...]) -> Floats:
    """(N, len(levels) + 1): one column per category, then "unknown"."""
    order = np.array(sorted(levels))
    if not len(order):
        return np.zeros((len(column), 1))
    place = np.minimum(np.searchsorted(order, column), len(order) - 1)
    known = order[place] == column
    code = np.where(known, np.array([levels.index(name) for name in order])[place], len(levels))
    hot = np.eye(len(levels) + 1)[code]
    hot[~known & (column == "")] = 0
    return hot
