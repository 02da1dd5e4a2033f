"""Cleaning and standardising numbers, with statistics from the train part alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusionnas.data.raw import Floats, Ints, Ranges

CLIP = 10.0
"""Standardised values are cut here: one wild value must not own a batch."""


@dataclass(frozen=True)
class Scaling:
    """Per column or variable: plausible range, logarithm, mean and deviation.

    Values outside the range, values of ``log`` columns <= -1, and every value of a column that was never seen
    in the train part count as missing (NaN).

    Attributes:
        names: columns or variables.
        low: lowest plausible value each, None = no bound.
        high: highest plausible value each, None = no bound.
        log: whether log(1 + x) is taken.
        seen: whether the train part has any plausible value.
        mean: of the cleaned train values.
        std: of the cleaned train values; 1 for constants.
        implausible: train values outside the range, counted.
    """

    names: tuple[str, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    log: tuple[bool, ...]
    seen: tuple[bool, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    implausible: tuple[int, ...]

    @classmethod
    def fit(cls, names: Sequence[str], column: Ints, values: Floats, *, ranges: Ranges, log: Sequence[str]) -> Scaling:
        """From flat train values and the column of each.

        Args:
            names: columns or variables.
            column: (E,) index into ``names``.
            values: (E,) floats, NaN = missing.
            ranges: plausible [low, high] by name.
            log: names whose logarithm is taken.
        """
        count = len(names)
        blank = cls(
            tuple(names),
            tuple(float(ranges[n][0]) if n in ranges else None for n in names),
            tuple(float(ranges[n][1]) if n in ranges else None for n in names),
            tuple(n in log for n in names),
            (True,) * count,
            (0.0,) * count,
            (1.0,) * count,
            (0,) * count,
        )
        clean = blank.clean(values, column)
        lost = np.bincount(column[np.isnan(clean) & ~np.isnan(values)], minlength=count)
        real = ~np.isnan(clean)
        mean, std = moments(clean[real], column[real], count)
        seen = np.bincount(column[real], minlength=count) > 0
        return cls(
            blank.names,
            blank.low,
            blank.high,
            blank.log,
            tuple(seen.tolist()),
            tuple(mean.tolist()),
            tuple(std.tolist()),
            tuple(lost.tolist()),
        )

    def clean(self, values: Floats, column: Ints) -> Floats:
        """Plausible values, logarithm taken where asked; all else NaN. ``column`` broadcasts."""
        low = np.array([-np.inf if v is None else v for v in self.low])[column]
        high = np.array([np.inf if v is None else v for v in self.high])[column]
        log = np.broadcast_to(np.array(self.log, dtype=bool)[column], values.shape)
        good = (values >= low) & (values <= high) & np.array(self.seen, dtype=bool)[column] & (~log | (values > -1))
        clean: Floats = np.where(good & np.isfinite(values), values, np.nan)
        clean[log] = np.log1p(clean[log])
        return clean

    def apply(self, values: Floats, column: Ints) -> Floats:
        """Cleaned and standardised, cut at +-CLIP; missing stays NaN."""
        standard = (self.clean(values, column) - np.array(self.mean)[column]) / np.array(self.std)[column]
        return np.asarray(np.clip(standard, -CLIP, CLIP))

    def index(self, names: Sequence[str]) -> Ints:
        """For each of ``names`` its place in ``self.names``, -1 if it is not there."""
        place = {name: i for i, name in enumerate(self.names)}
        return np.array([place.get(name, -1) for name in names], dtype=np.int64)

    def notes(self) -> list[str]:
        """What a reader of the results should know about these columns."""
        wild = ", ".join(f"{name} {n}" for name, n in zip(self.names, self.implausible, strict=True) if n)
        empty = ", ".join(name for name, seen in zip(self.names, self.seen, strict=True) if not seen)
        return [
            text
            for found, text in (
                (wild, f"implausible values of the train part that count as missing: {wild}"),
                (empty, f"no value in the train part, so constant 0: {empty}"),
            )
            if found
        ]


def moments(values: Floats, column: Ints, count: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation per column of flat values without NaN; 0 and 1 where none, or constant."""
    number = np.maximum(np.bincount(column, minlength=count), 1)
    mean = np.bincount(column, values, count) / number
    variance = np.bincount(column, (values - mean[column]) ** 2, count) / number
    std = np.sqrt(variance)
    return mean, np.where(std > 1e-9 * np.maximum(np.abs(mean), 1), std, 1.0)
