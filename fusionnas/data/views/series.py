"""What every view of a series begins with: the observations, cleaned, standardised and inside the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusionnas.data.raw import Bools, Floats, Ints, Series
from fusionnas.data.views.scaling import Scaling

if TYPE_CHECKING:
    from fusionnas.space.schema import Modality


@dataclass(frozen=True)
class Observations:
    """E cleaned observations, in order of sample, then time.

    Attributes:
        size: number of samples N.
        sample: (E,) sample of each.
        variable: (E,) index into the names of the scaling.
        time: (E,) in units of the window, 0..1.
        value: (E,) standardised, no NaN.
    """

    size: int
    sample: Ints
    variable: Ints
    time: Floats
    value: Floats

    @property
    def present(self) -> Bools:
        """(N,) whether anything is observed."""
        return np.bincount(self.sample, minlength=self.size) > 0


def fit_series(raw: Series, modality: Modality) -> tuple[Scaling, float]:
    """Statistics of the variables, and the length of the window."""
    scaling = Scaling.fit(
        raw.variables, raw.variable, raw.values, ranges={**raw.ranges, **modality.ranges}, log=modality.log or raw.log
    )
    latest = float(raw.times.max()) if len(raw.times) else 0.0
    return scaling, raw.horizon or latest or 1.0


def observe(raw: Series, scaling: Scaling, horizon: float) -> Observations:
    """Clean and standardise; what is implausible, unknown to the train part or after the window is left out."""
    variable = scaling.index(raw.variables)[raw.variable] if len(raw.variable) else raw.variable
    known = np.flatnonzero((variable >= 0) & (raw.times <= horizon) & (raw.times >= 0))
    value = scaling.apply(raw.values[known], variable[known])
    good = known[~np.isnan(value)]
    return Observations(len(raw), raw.sample[good], variable[good], raw.times[good] / horizon, value[~np.isnan(value)])
