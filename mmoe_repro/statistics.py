"""Arrays in, numbers out: what a sample of final losses says. No files, no models."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from diptest import diptest
from scipy import stats
from scipy.special import comb

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


class Contrast(NamedTuple):
    """A quantity of several samples, with its 95 % interval, and how surely it lies on either side of a bound.

    Attributes:
        value, low, high: as in `Estimate`.
        p_above: p-value of the quantity being at most the bound; small where it is surely above.
        p_below: p-value of its being at least the bound.
        error: its standard error.
    """

    value: float
    low: float
    high: float
    p_above: float
    p_below: float
    error: float


def contrast(samples: Sequence[np.ndarray], quantity: Any, bound: float) -> Contrast:
    """Compare a quantity of samples that are paired run by run with a bound.

    Runs are resampled together in all samples. The interval is bias-corrected and accelerated (Efron 1987), and the
    p-values are those levels at which a one-sided interval of this kind ends at the bound; they are at least one in
    the number of resamples.

    Args:
        samples: each `(runs,)`, of the same runs in the same order.
        quantity: takes the samples and `axis`.
        bound: to compare with.
    """
    runs = len(samples[0])
    value = float(quantity(*samples, axis=-1)) if runs > 1 else np.nan
    if runs < 3:
        return Contrast(value, np.nan, np.nan, np.nan, np.nan, np.nan)
    left_out = [np.array([np.delete(sample, run) for run in range(runs)]) for sample in samples]
    influence = np.asarray(quantity(*left_out, axis=-1))
    deviation = influence.mean() - influence
    if not np.isfinite(deviation).all() or np.allclose(deviation, 0, atol=1e-12 * abs(value)):
        return Contrast(value, np.nan, np.nan, np.nan, np.nan, np.nan)
    done = stats.bootstrap(
        tuple(samples), quantity, paired=True, n_resamples=_RESAMPLES, method="BCa", rng=np.random.default_rng(0)
    )
    drawn = done.bootstrap_distribution
    acceleration = (deviation**3).sum() / (6 * (deviation**2).sum() ** 1.5)

    def normal(share: float) -> float:
        return float(stats.norm.ppf(np.clip(share, 1 / _RESAMPLES, 1 - 1 / _RESAMPLES)))

    bias = normal(((drawn < value).mean() + (drawn <= value).mean()) / 2)
    error = float(drawn.std(ddof=1))
    below = ((drawn < bound).mean() + (drawn <= bound).mean()) / 2
    # Beyond all resamples, as far as a normal distribution of their spread has it.
    off = (normal(below) if 0 < below < 1 else (bound - value) / error) - bias
    stretched = 1 + acceleration * off
    at = off / stretched if stretched > 0 else np.copysign(np.inf, off)
    p_above = float(np.clip(stats.norm.cdf(at - bias), 1 / _RESAMPLES, 1 - 1 / _RESAMPLES))
    low, high = done.confidence_interval
    return Contrast(value, float(low), float(high), p_above, 1 - p_above, error)


def log_ratio_of_means(one: np.ndarray, other: np.ndarray, axis: int = -1) -> Any:
    """Log of the mean of one sample by that of another."""
    return np.log(np.mean(one, axis=axis) / np.mean(other, axis=axis))


def log_ratio_of_sds(one: np.ndarray, other: np.ndarray, axis: int = -1) -> Any:
    """Log of the standard deviation of one sample by that of another."""
    return np.log(standard_deviation(one, axis) / standard_deviation(other, axis))


def expected_best(sample: np.ndarray, of: int, axis: int = -1) -> Any:
    """Expected lowest of so many runs drawn without replacement, by order statistics.

    The i-th lowest of n is the lowest of k drawn with probability C(n − i, k − 1) / C(n, k). NaN for k > n.
    """
    sorted_ = np.sort(np.moveaxis(sample, axis, -1), axis=-1)
    runs = sorted_.shape[-1]
    if of > runs:
        return np.full(sorted_.shape[:-1], np.nan)
    shares = comb(runs - np.arange(1, runs + 1), of - 1) / comb(runs, of)
    return sorted_ @ shares


def log_ratio_of_bests(one: np.ndarray, other: np.ndarray, of: int, axis: int = -1) -> Any:
    """Log of the `expected_best` of one sample by that of another."""
    return np.log(expected_best(one, of, axis) / expected_best(other, of, axis))


def permutation_p(one: np.ndarray, other: np.ndarray) -> float:
    """Two-sided p-value of paired samples having the same spread, by exchanging the runs of pairs.

    Each sample is taken about its own mean, so that only the spread is compared.
    """
    centred = (one - one.mean(), other - other.mean())
    found = stats.permutation_test(
        centred, log_ratio_of_sds, permutation_type="samples", n_resamples=_RESAMPLES, rng=np.random.default_rng(0)
    )
    return float(found.pvalue)


def brown_forsythe_p(one: np.ndarray, other: np.ndarray) -> float:
    """p-value of two samples having the same spread, as if they were not paired (Brown and Forsythe 1974)."""
    return float(stats.levene(one, other, center="median").pvalue)


def dip_p(sample: np.ndarray) -> float:
    """p-value of a sample having one mode (Hartigan and Hartigan 1985); NaN for fewer than four runs."""
    return float(diptest(sample)[1]) if len(sample) >= 4 else np.nan


def beats(one: np.ndarray, other: np.ndarray) -> Estimate:
    """Probability that a run of one sample has a lower loss than the paired run of the other; ties count half."""
    return bootstrap((one < other) + 0.5 * (one == other))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values corrected over their family (Holm 1979); NaN stays and is not of the family."""
    p = np.asarray(p_values, float)
    corrected = np.full_like(p, np.nan)
    order = np.argsort(p)[: np.isfinite(p).sum()]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected
