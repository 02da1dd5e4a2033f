"""Proposals for the trials of a study, by Optuna; a function of the seed and of what was told before."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from fusionnas.errors import InputError
from fusionnas.space.schema import Range

if TYPE_CHECKING:
    import optuna

Sampler = Literal["tpe", "random", "nsga2", "gp"]
_STARTUP = 10
"""Random trials before a model counts."""


def check_sampler(name: str) -> None:
    """Raises: InputError: there is none of that name."""
    if name not in get_args(Sampler):
        raise InputError(f"--sampler: given '{name}', expected one of {', '.join(get_args(Sampler))}")


class Proposals:
    """What to try next: asked and told in the order of the trials' numbers.

    Args:
        sampler: ``tpe`` (Bergstra et al., 2011), ``random``, ``nsga2`` (Deb et al., 2002) or ``gp``, a Gaussian process
            with expected improvement; Optuna's.
        ranges: what varies.
        seed: of the sampler.
        lag: trials that may be under way at a time.
    """

    def __init__(self, sampler: str, ranges: Mapping[str, Range | tuple[Any, ...]], *, seed: int, lag: int) -> None:
        import optuna

        self.ranges = ranges
        self.distributions = distributions_of(ranges)
        self._asked: list[Any] = []
        self._study = optuna.create_study(sampler=sampler_of(sampler, seed=seed, lag=lag))

    def ask(self) -> dict[str, Any]:
        """Values for the next trial."""
        trial = self._study.ask(self.distributions)
        self._asked.append(trial)
        return dict(trial.params)

    def tell(self, number: int, loss: float | None) -> None:
        """What came of a trial; None: it failed."""
        from optuna.trial import TrialState

        if loss is None:
            self._study.tell(self._asked[number], state=TrialState.FAIL)
        else:
            self._study.tell(self._asked[number], loss)


def distributions_of(ranges: Mapping[str, Range | tuple[Any, ...]]) -> dict[str, Any]:
    """Ranges as Optuna's distributions."""
    return {key: _distribution(extent) for key, extent in ranges.items()}


def sampler_of(name: str, *, seed: int, lag: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler; arguments as for :class:`Proposals`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _made(name, seed % 2**32, lag)


def _distribution(extent: Range | tuple[Any, ...]) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(extent, Range):
        return CategoricalDistribution(extent)
    if isinstance(extent.low, int) and isinstance(extent.high, int):
        return IntDistribution(extent.low, extent.high, log=extent.log)
    return FloatDistribution(extent.low, extent.high, log=extent.log)


def _made(sampler: str, seed: int, lag: int) -> optuna.samplers.BaseSampler:
    from optuna import samplers

    if sampler == "random":
        return samplers.RandomSampler(seed=seed)
    if sampler == "nsga2":
        return samplers.NSGAIISampler(seed=seed, population_size=max(2, lag))
    if sampler == "gp":
        return samplers.GPSampler(seed=seed, n_startup_trials=_STARTUP)
    return samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP, constant_liar=True)
