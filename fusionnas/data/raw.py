"""The raw kinds: one input of N samples as it was loaded, before any statistics are taken.

``Table`` (columns), ``Series`` (irregular, many variables), ``Tokens`` (codes, words) and ``Grid`` (images,
audio frames). Missing is NaN for numbers, "" for words, nothing at all in the ragged kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Words: TypeAlias = NDArray[np.str_]
Ranges: TypeAlias = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Table:
    """Columns of numbers and of categories; also plain vectors, whose columns are named "0", "1", ...

    Attributes:
        names: names of the number columns.
        values: (N, len(names)) floats, NaN = missing.
        words: category columns, (N,) strings each, "" = missing.
        ranges: plausible [low, high] per column, where the source knows it.
        log: columns that the source advises to take as log(1 + x).
    """

    names: tuple[str, ...]
    values: Floats
    words: Mapping[str, Words] = field(default_factory=dict)
    ranges: Ranges = field(default_factory=dict)
    log: tuple[str, ...] = ()

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]], *, ranges: Ranges | None = None, log: Sequence[str] = ()) -> Table:
        """A table from one array per column: strings become categories, all else numbers."""
        words = {name: column for name, column in columns.items() if column.dtype.kind == "U"}
        names = tuple(name for name in columns if name not in words)
        size = len(next(iter(columns.values())))
        values = np.stack([columns[n].astype(np.float64) for n in names], 1) if names else np.zeros((size, 0))
        return cls(names, values, words, ranges or {}, tuple(log))

    @classmethod
    def vectors(cls, values: NDArray[Any]) -> Table:
        """(N, D) numbers as a table of D unnamed columns."""
        return cls(tuple(str(i) for i in range(values.shape[1])), values.astype(np.float64))

    def __len__(self) -> int:
        return len(self.values)

    def take(self, index: Ints) -> Table:
        """The samples ``index``."""
        words = {name: column[index] for name, column in self.words.items()}
        return Table(self.names, self.values[index], words, self.ranges, self.log)

    @property
    def present(self) -> Bools:
        """(N,) whether a sample has any value at all."""
        found: Bools = np.zeros(len(self), dtype=np.bool_)
        if self.names:
            found = found | ~np.isnan(self.values).all(1)
        for column in self.words.values():
            found = found | (column != "")
        return found


@dataclass(frozen=True)
class Series:
    """Irregular series in compressed rows: sample i owns observations offsets[i]:offsets[i + 1].

    Observations of a sample are in order of time.

    Attributes:
        variables: names of the V variables.
        offsets: (N + 1,) ints.
        times: (E,) time since the start of the sample, in any one unit (minutes, steps), >= 0.
        variable: (E,) index into ``variables``.
        values: (E,) floats.
        horizon: length of the observed window; None = the latest time seen when statistics are fitted.
        ranges: plausible [low, high] per variable, where the source knows it.
        log: variables that the source advises to take as log(1 + x).
    """

    variables: tuple[str, ...]
    offsets: Ints
    times: Floats
    variable: Ints
    values: Floats
    horizon: float | None = None
    ranges: Ranges = field(default_factory=dict)
    log: tuple[str, ...] = ()

    @classmethod
    def from_events(cls, sample: Ints, times: Floats, variable: Ints, values: Floats, **about: Any) -> Series:
        """A long table: one (sample, time, variable, value) per row, in any order; NaN values are dropped.

        Args:
            sample: (E,) index of the sample.
            times: (E,) as the attribute.
            variable: (E,) as the attribute.
            values: (E,) as the attribute.
            about: ``size`` (N), ``variables``, and optionally ``horizon``, ``ranges``, ``log``.
        """
        size = about.pop("size")
        keep = np.flatnonzero(~np.isnan(values))
        order = keep[np.lexsort((variable[keep], times[keep], sample[keep]))]
        offsets = np.concatenate([[0], np.cumsum(np.bincount(sample[order], minlength=size))]).astype(np.int64)
        return cls(about.pop("variables"), offsets, times[order], variable[order], values[order], **about)

    @classmethod
    def from_dense(
        cls, values: NDArray[Any], times: NDArray[Any] | None = None, *, variables: Sequence[str] | None = None
    ) -> Series:
        """Regular or padded arrays.

        Args:
            values: (N, T, V), NaN = not observed.
            times: (N, T), default 0..T-1; a step whose time is NaN is padding.
            variables: V names, default "0".."V-1".
        """
        size, steps, width = values.shape
        grid = np.broadcast_to(np.arange(steps, dtype=np.float64), (size, steps)) if times is None else times
        seen = ~np.isnan(values) & ~np.isnan(grid)[:, :, None]
        sample, step, variable = np.nonzero(seen)
        names = tuple(variables) if variables is not None else tuple(str(i) for i in range(width))
        return cls.from_events(
            sample,
            grid[sample, step].astype(np.float64),
            variable,
            values[sample, step, variable].astype(np.float64),
            size=size,
            variables=names,
            horizon=float(steps) if times is None else None,
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sample(self) -> Ints:
        """(E,) the sample of each observation."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def present(self) -> Bools:
        """(N,) whether a sample has any observation."""
        return np.diff(self.offsets) > 0

    def take(self, index: Ints) -> Series:
        """The samples ``index``."""
        offsets, rows = _ragged_take(self.offsets, index)
        return Series(
            self.variables,
            offsets,
            self.times[rows],
            self.variable[rows],
            self.values[rows],
            self.horizon,
            self.ranges,
            self.log,
        )


@dataclass(frozen=True)
class Tokens:
    """Sequences of codes or words: sample i owns codes offsets[i]:offsets[i + 1], in order.

    Attributes:
        offsets: (N + 1,) ints.
        codes: (E,) index into ``vocabulary``.
        vocabulary: every distinct code or word.
    """

    offsets: Ints
    codes: Ints
    vocabulary: tuple[str, ...]

    @classmethod
    def of(cls, sequences: Sequence[Sequence[str]]) -> Tokens:
        """From one list of codes or words per sample."""
        known: dict[str, int] = {}
        codes = [known.setdefault(item, len(known)) for sequence in sequences for item in sequence]
        offsets = np.cumsum([0, *(len(sequence) for sequence in sequences)]).astype(np.int64)
        return cls(offsets, np.array(codes, dtype=np.int64), tuple(known))

    @classmethod
    def from_dense(cls, ids: NDArray[Any]) -> Tokens:
        """(N, T) whole numbers, 0 and below = padding."""
        real = ids > 0
        known, codes = np.unique(ids[real], return_inverse=True)
        offsets = np.concatenate([[0], np.cumsum(real.sum(1))]).astype(np.int64)
        return cls(offsets, codes.astype(np.int64), tuple(str(i) for i in known))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def present(self) -> Bools:
        """(N,) whether a sample has any token."""
        return np.diff(self.offsets) > 0

    def take(self, index: Ints) -> Tokens:
        """The samples ``index``."""
        offsets, rows = _ragged_take(self.offsets, index)
        return Tokens(offsets, self.codes[rows], self.vocabulary)


@dataclass(frozen=True)
class Grid:
    """Dense arrays: images (N, C, H, W) or frames of audio (N, T, F); NaN = missing or padding."""

    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def present(self) -> Bools:
        """(N,) whether a sample has any value at all."""
        return np.asarray(~np.isnan(self.values).reshape(len(self), -1).all(1))

    def take(self, index: Ints) -> Grid:
        """The samples ``index``."""
        return Grid(self.values[index])


Raw: TypeAlias = Table | Series | Tokens | Grid


def _ragged_take(offsets: Ints, index: Ints) -> tuple[Ints, Ints]:
    """Offsets of the samples ``index``, and the rows that they own, in their order."""
    index = np.asarray(index, dtype=np.int64)
    sizes = np.diff(offsets)[index]
    taken = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    rows = np.arange(taken[-1]) + np.repeat(offsets[index] - taken[:-1], sizes)
    return taken, rows


def as_words(values: Floats) -> Words:
    """Numbers as categories: 3.0 -> "3", NaN -> "" (missing)."""
    return np.array(["" if np.isnan(v) else f"{v:.12g}" for v in values], dtype=np.str_)
