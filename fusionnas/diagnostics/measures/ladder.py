"""The interaction ladder of two variables: y ~ a, y ~ a + b, y ~ a + b + a·b, and what each rung adds.

Ordinary least squares by QR with t tests, partial F tests and HC3 errors (MacKinnon & White, "Some heteroskedasticity-
consistent covariance matrix estimators with improved finite sample properties", Journal of Econometrics 1985); logistic
regression with likelihood-ratio tests for a binary outcome. Many pairs: Benjamini & Hochberg, JRSS B 1995.

The coefficients of ``a`` and ``b`` in the last rung depend on where zero is; only the test of ``a·b`` does not.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NAMES = ("constant", "a", "b", "a·b")


@dataclass(frozen=True)
class Rung:
    """One fitted model.

    Attributes:
        estimates, errors: per coefficient, in the order of ``NAMES``, its estimate and standard error.
        statistics, p_values: per coefficient its t (linear) or z (logistic) and two-sided p.
        robust_errors, robust_p_values: HC3 and its p; linear only, else None.
        adds: statistic of what the rung adds to the one below: partial F, or twice the gain in log-likelihood.
        adds_p_value: its p value, the F's or the chi-squared's.
        explained: R², or McFadden's pseudo R².
        residual: residual degrees of freedom.
    """

    estimates: Array
    errors: Array
    statistics: Array
    p_values: Array
    robust_errors: Array | None
    robust_p_values: Array | None
    adds: float
    adds_p_value: float
    explained: float
    residual: int

    def rows(self) -> list[dict[str, Any]]:
        """One row per coefficient."""
        return [
            {
                "coefficient": NAMES[i], "estimate": float(self.estimates[i]), "standard_error": float(self.errors[i]),
                "statistic": float(self.statistics[i]), "p": float(self.p_values[i]),
                "hc3_error": None if self.robust_errors is None else float(self.robust_errors[i]),
                "hc3_p": None if self.robust_p_values is None else float(self.robust_p_values[i]),
            }
            for i in range(len(self.estimates))
        ]  # fmt: skip


@dataclass(frozen=True)
class Ladder:
    """The three rungs.

    Attributes:
        rungs: y ~ a (H1: does a say something?), + b, + a·b (H2: does a's effect depend on b?).
        logistic: False: linear, also where a logistic fit has no finite solution.
    """

    rungs: tuple[Rung, Rung, Rung]
    logistic: bool

    @property
    def interaction_p(self) -> float:
        """p of H2: of the robust t test where there is one, else of the likelihood ratio."""
        last = self.rungs[2]
        return last.adds_p_value if last.robust_p_values is None else float(last.robust_p_values[3])

    @property
    def gain(self) -> float:
        """What the product explains beyond the sum: difference of (pseudo) R²."""
        return self.rungs[2].explained - self.rungs[1].explained


def ladder(outcome: Array, first: Array, second: Array, *, binary: bool = False) -> Ladder:
    """Fit the three rungs.

    Args:
        outcome: (N,) values; 0 and 1 if ``binary``.
        first, second: (N,) the variables a and b, in any coding.
        binary: logistic instead of linear regression; where the classes can be separated, and so no estimate is
            finite, linear all the same.

    Raises:
        ValueError: fewer than 5 samples, or a, b and a·b are not linearly independent.
    """
    design = np.column_stack((np.ones(len(outcome)), first, second, first * second)).astype(np.float64)
    if len(outcome) < 5 or np.linalg.matrix_rank(design) < 4:
        raise ValueError("the ladder needs at least 5 samples and variables that, with their product, are independent")
    if binary and (rungs := _logistic(outcome, design)) is not None:
        return Ladder(rungs, True)
    return Ladder(_linear(np.asarray(outcome, dtype=np.float64), design), False)


def independent(first: Array, second: Array) -> bool:
    """Whether ``ladder`` can tell a, b and a·b apart."""
    design = np.column_stack((np.ones(len(first)), first, second, first * second))
    return len(first) >= 5 and bool(np.linalg.matrix_rank(design) == 4)


def _linear(outcome: Array, design: Array) -> tuple[Rung, Rung, Rung]:
    from statsmodels.regression.linear_model import OLS

    def rung(columns: int) -> Rung:
        fit, below = (OLS(outcome, design[:, :k]).fit(method="qr") for k in (columns, columns - 1))
        added, p_value, _ = fit.compare_f_test(below)
        robust = fit.get_robustcov_results("HC3")
        return Rung(fit.params, fit.bse, fit.tvalues, fit.pvalues, robust.bse, robust.pvalues,
                    float(added), float(p_value), float(fit.rsquared), int(fit.df_resid))  # fmt: skip

    return rung(2), rung(3), rung(4)


def _logistic(outcome: Array, design: Array) -> tuple[Rung, Rung, Rung] | None:
    from scipy.stats import chi2
    from statsmodels.discrete.discrete_model import Logit

    def rung(columns: int) -> Rung:
        fit, below = (Logit(outcome, design[:, :k]).fit(disp=0, maxiter=100) for k in (columns, columns - 1))
        added = max(2 * float(fit.llf - below.llf), 0.0)
        return Rung(fit.params, fit.bse, fit.tvalues, fit.pvalues, None, None,
                    added, float(chi2.sf(added, 1)), float(fit.prsquared), int(fit.df_resid))  # fmt: skip

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # separation, and no convergence for the same reason
        try:
            return rung(2), rung(3), rung(4)
        except (Warning, np.linalg.LinAlgError):
            return None


def false_discoveries(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p values: below q, at most a share q of what is called found is false."""
    from scipy.stats import false_discovery_control

    return [float(p) for p in false_discovery_control(list(p_values))] if p_values else []
