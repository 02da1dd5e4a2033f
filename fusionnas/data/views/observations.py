"""View ``observations``: a series as one token per observation, (N, T, 2 + V).

Source: Horn et al., "Set Functions for Time Series", ICML 2020, arXiv:1909.12064 (a series as a set of time, value,
variable). Departs from it: the time is one plain number, the variable a one-hot code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fusionnas.data.raw import Raw, Series
from fusionnas.data.views.base import View, feature
from fusionnas.data.views.scaling import Scaling
from fusionnas.data.views.series import fit_series, observe
from fusionnas.feature import Feature, InputSpec

if TYPE_CHECKING:
    from fusionnas.space.schema import Modality


@dataclass(frozen=True)
class ObservationTokens(View):
    """Channels: standardised value, time in units of the window, one-hot variable; the latest tokens are kept.

    Attributes:
        scaling: statistics of the variables.
        horizon: length of the window, in the unit of the times.
        tokens: most tokens kept: the ``steps`` of the space, or fewer if no train sample has as many.
    """

    scaling: Scaling
    horizon: float
    tokens: int

    name: ClassVar[str] = "observations"
    raw: ClassVar[type[Raw]] = Series

    @classmethod
    def fit(cls, raw: Series, modality: Modality) -> ObservationTokens:
        """Statistics of the train part."""
        scaling, horizon = fit_series(raw, modality)
        seen = observe(raw, scaling, horizon)
        longest = int(np.bincount(seen.sample, minlength=1).max())
        return cls(scaling, horizon, max(1, min(modality.steps, longest)))

    def transform(self, raw: Series) -> Feature:
        """(N, T, 2 + V), in order of time, padding at the end."""
        seen = observe(raw, self.scaling, self.horizon)
        count = np.bincount(seen.sample, minlength=seen.size)
        place = np.arange(len(seen.sample)) - (np.cumsum(count) - count)[seen.sample]
        place -= np.maximum(count - self.tokens, 0)[seen.sample]  # earlier observations than fit get negative places
        kept = place >= 0
        row, column = seen.sample[kept], place[kept]
        values = np.zeros((seen.size, self.tokens, 2 + len(self.scaling.names)))
        values[row, column, 0] = seen.value[kept]
        values[row, column, 1] = seen.time[kept]
        values[row, column, 2 + seen.variable[kept]] = 1
        mask = np.arange(self.tokens)[None, :] < count[:, None]
        return feature(values, seen.present, mask)

    @property
    def spec(self) -> InputSpec:
        """One token per observation."""
        return InputSpec(2 + len(self.scaling.names), self.tokens)

    def notes(self) -> list[str]:
        """Implausible values and empty variables."""
        return self.scaling.notes()
