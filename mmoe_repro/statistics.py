"""Arrays in, numbers out: what a sample of final losses says. No files, no models."""

from typing import Any, NamedTuple

import numpy as np
from scipy import stats

#: Resamples of a bootstrap interval.
_RESAMPLES = 4_000


class Estimate(NamedTuple):
    """A value with the ends of its 95 % interval; NaN where the sample is too small or constant."""

    value: float
    low: float
    high: float


def iqm(sample: np.ndarray) -> float:
    """Mean of the middle half of a sample `(runs,)` (Agarwal et al. 2021)."""
    return float(stats.trim_mean(sample, 0.25))


def standard_deviation(sample: np.ndarray, axis: int = -1) -> Any:
    """Standard deviation with n − 1 in the denominator."""
    return np.std(sample, axis=axis, ddof=1)


def bootstrap(sample: np.ndarray, statistic: Any = np.mean) -> Estimate:
    """A statistic of a sample `(runs,)` with its bias-corrected and accelerated bootstrap interval (Efron 1987).

    `statistic` takes an array and `axis`. The resamples are the same at every call.
    """
    sample = np.asarray(sample, float)
    if sample.size == 0:
        return Estimate(np.nan, np.nan, np.nan)
    value = float(statistic(sample, axis=-1)) if sample.size > 1 or statistic is np.mean else np.nan
    if sample.size < 3 or np.ptp(sample) == 0:
        return Estimate(value, np.nan, np.nan)
    interval = stats.bootstrap(
        (sample,), statistic, n_resamples=_RESAMPLES, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high))


def spreads_p(spreads: np.ndarray, expected: np.ndarray, size: int) -> float:
    """Two-sided p-value that samples of one size have the standard deviations expected of them, all together.

    The sum of (n − 1) s²/σ² is about a χ² with n − 1 degrees for each sample.

    Args:
        spreads: standard deviations of independent samples `(samples,)`.
        expected: σ of each.
        size: n, of every sample.
    """
    total, degrees = float(((size - 1) * (spreads / expected) ** 2).sum()), (size - 1) * len(spreads)
    return float(2 * min(stats.chi2.sf(total, degrees), stats.chi2.cdf(total, degrees)))
