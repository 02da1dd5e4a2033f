"""View ``bins``: a series on a grid of time bins, (N, steps, 4 V).

Source: Che et al., "Recurrent Neural Networks for Multivariate Time Series with Missing Values", 2018,
arXiv:1606.01865 (values, masks, time gaps). Departs from it: a count channel, and the gap is measured at the end of
a bin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fusionnas.data.raw import Bools, Floats, Raw, Series
from fusionnas.data.views.base import View, feature
from fusionnas.data.views.scaling import Scaling
from fusionnas.data.views.series import Observations, fit_series, observe
from fusionnas.feature import Feature, InputSpec

if TYPE_CHECKING:
    from fusionnas.space.schema import Modality


@dataclass(frozen=True)
class Bins(View):
    """Per bin, four blocks of V channels: value, observed, gap, count.

    value: mean of the bin, standardised, carried forward from the last observed bin; 0 before the first.
    observed: 1 if the bin has an observation. gap: time from the last observation to the end of the bin, in
    units of the window; 1 before the first. count: log(1 + observations in the bin).

    Attributes:
        scaling: statistics of the variables.
        horizon: length of the window, in the unit of the times.
        steps: number of bins.
    """

    scaling: Scaling
    horizon: float
    steps: int

    name: ClassVar[str] = "bins"
    raw: ClassVar[type[Raw]] = Series

    @classmethod
    def fit(cls, raw: Series, modality: Modality) -> Bins:
        """Statistics of the train part."""
        scaling, horizon = fit_series(raw, modality)
        return cls(scaling, horizon, modality.steps)

    def transform(self, raw: Series) -> Feature:
        """(N, steps, 4 V); all bins of a sample with any observation are real."""
        seen = observe(raw, self.scaling, self.horizon)
        width = len(self.scaling.names)
        shape = (seen.size, self.steps, width)
        place = (seen.sample * self.steps + _bin(seen, self.steps)) * width + seen.variable
        count = np.bincount(place, minlength=np.prod(shape))
        mean = (np.bincount(place, seen.value, count.size) / np.maximum(count, 1)).reshape(shape)
        latest = np.zeros(count.size)
        np.maximum.at(latest, place, seen.time)
        count = count.reshape(shape)
        value, last, ever = _carry_forward(mean, latest.reshape(shape), count > 0)
        end = np.arange(1, self.steps + 1)[None, :, None] / self.steps
        gap = np.where(ever, end - last, 1.0)
        return feature(np.concatenate([value, count > 0, gap, np.log1p(count)], 2), seen.present)

    @property
    def spec(self) -> InputSpec:
        """``steps`` tokens."""
        return InputSpec(4 * len(self.scaling.names), self.steps)

    def coverage(self, given: Feature) -> dict[str, float]:
        """Per variable: share of the samples in which it is observed at all."""
        width = len(self.scaling.names)
        share = given.values[:, :, width : 2 * width].amax(1).mean(0)
        return {name: float(value) for name, value in zip(self.scaling.names, share, strict=True)}

    def notes(self) -> list[str]:
        """Implausible values and empty variables."""
        return self.scaling.notes()


def _bin(seen: Observations, steps: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """(E,) the bin of each observation; the very end of the window belongs to the last."""
    return np.minimum((seen.time * steps).astype(np.int64), steps - 1)


def _carry_forward(mean: Floats, latest: Floats, observed: Bools) -> tuple[Floats, Floats, Bools]:
    """Values and times of the last observed bin up to each bin, and whether there was one; all (N, steps, V)."""
    steps = mean.shape[1]
    source = np.maximum.accumulate(np.where(observed, np.arange(steps)[None, :, None], -1), axis=1)
    ever, source = source >= 0, np.maximum(source, 0)
    value = np.where(ever, np.take_along_axis(mean, source, 1), 0.0)
    return value, np.take_along_axis(latest, source, 1), ever
