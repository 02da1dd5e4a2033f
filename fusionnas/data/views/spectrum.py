"""View ``spectrum``: a series as the energies of its oscillations, (N, 1, (4 + B) V).

What moves (a body, a machine, a voice) is known by how fast and how strongly it does; a few thousand samples do not
teach a network that from the values one after the other.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fusionnas.data.raw import Bools, Floats, Raw, Series
from fusionnas.data.views.base import View, feature
from fusionnas.data.views.bins import Bins
from fusionnas.data.views.scaling import Scaling, moments
from fusionnas.data.views.series import fit_series
from fusionnas.data.views.summary import CUT
from fusionnas.feature import Feature, InputSpec

if TYPE_CHECKING:
    from fusionnas.space.schema import Modality

LEVELS = ("mean", "std", "min", "max")
FAINTEST = 1e-3
"""Added to an energy before its logarithm, in squared standard deviations of the variable: below lies rounding."""


@dataclass(frozen=True)
class Spectrum(View):
    """Blocks of V channels: those in ``LEVELS``, then log energies per octave, each standardised over the train part.

    The series is first put on a grid of ``steps`` bins (view ``bins``: means, carried forward). Octave k holds the
    frequencies of 2^k up to 2^(k+1) - 1 oscillations per window, B = floor(log2(steps / 2)) + 1 octaves in all. A
    variable that a sample lacks is 0 throughout. Band energies as in Altun, Barshan & Tuncel, "Comparative study on
    classifying human activities with miniature inertial and magnetic sensors", Pattern Recognition 2010,
    doi:10.1016/j.patcog.2010.04.019; departs from it: octaves instead of single peaks.

    Attributes:
        scaling: statistics of the variables.
        horizon: length of the window, in the unit of the times.
        steps: number of bins.
        mean: of each channel in the train part.
        std: of each channel in the train part.
    """

    scaling: Scaling
    horizon: float
    steps: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    name: ClassVar[str] = "spectrum"
    raw: ClassVar[type[Raw]] = Series

    @classmethod
    def fit(cls, raw: Series, modality: Modality) -> Spectrum:
        """Statistics of the train part."""
        scaling, horizon = fit_series(raw, modality)
        table, present = _table(raw, Bins(scaling, horizon, modality.steps))
        table = table[present]
        real = ~np.isnan(table)
        column = np.broadcast_to(np.arange(table.shape[1]), table.shape)
        mean, std = moments(table[real], column[real], table.shape[1])
        return cls(scaling, horizon, modality.steps, tuple(mean.tolist()), tuple(std.tolist()))

    def transform(self, raw: Series) -> Feature:
        """(N, 1, (4 + B) V)."""
        table, present = _table(raw, Bins(self.scaling, self.horizon, self.steps))
        standard = np.clip((table - np.array(self.mean)) / np.array(self.std), -CUT, CUT)
        return feature(standard[:, None, :], present)

    @property
    def spec(self) -> InputSpec:
        """One token."""
        return InputSpec((len(LEVELS) + len(_octaves(self.steps)) - 1) * len(self.scaling.names))

    def notes(self) -> list[str]:
        """Implausible values and empty variables."""
        return self.scaling.notes()


def _table(raw: Series, grid: Bins) -> tuple[Floats, Bools]:
    """(N, (4 + B) V) before standardising, NaN where a variable is not observed; and who has any observation."""
    width, binned = len(grid.scaling.names), grid.transform(raw)
    values = binned.values[:, :, :width].double().numpy()
    seen = binned.values[:, :, width : 2 * width].numpy().any(1)
    table = np.concatenate([values.mean(1), values.std(1), values.min(1), values.max(1), *energies(values)], 1)
    return np.where(np.tile(seen, table.shape[1] // width), table, np.nan), binned.present.numpy()


def energies(values: Floats) -> list[Floats]:
    """Log energy per octave of series on a grid: (N, steps, V) -> B of (N, V)."""
    steps = values.shape[1]
    power = np.abs(np.fft.rfft(values, axis=1)) ** 2 / steps
    return [np.log(power[:, low:high].sum(1) + FAINTEST) for low, high in itertools.pairwise(_octaves(steps))]


def _octaves(steps: int) -> list[int]:
    """Lowest frequency of each octave, and the end of the last."""
    highest = steps // 2
    return [2**k for k in range(highest.bit_length())] + [highest + 1]
