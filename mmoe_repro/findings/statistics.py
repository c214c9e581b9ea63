"""Arrays in, numbers out: what a sample of final losses says. No files, no models."""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from diptest import diptest
from scipy import stats
from scipy.special import betainc, comb, ndtr, ndtri

#: Resamples of a bias-corrected bootstrap interval.
_RESAMPLES = 4_000
#: Resamples of what decides a claim: the lowest p-value is 1/10,000.
RESAMPLES = 9_999
#: Level of a limit that is one standard error away from a normal value.
_ONE_ERROR = float(ndtr(-1))
#: Normal deviate of the lowest p-value that is distinguished from zero.
_FARTHEST = 8.0


class Estimate(NamedTuple):
    """A value with the ends of its 95 % interval; NaN where the sample is too small or constant."""

    value: float
    low: float
    high: float


def iqm(sample: np.ndarray) -> float:
    """Mean of the middle half of a sample `(runs,)` (Agarwal et al. 2021).

    >>> iqm(np.array([1, 2, 3, 100]))
    2.5
    """
    return float(stats.trim_mean(sample, 0.25))


def standard_deviation(sample: np.ndarray, axis: int = -1) -> Any:
    """Standard deviation with n − 1 in the denominator."""
    return np.std(sample, axis=axis, ddof=1)


def bootstrap(sample: np.ndarray, statistic: Any = np.mean) -> Estimate:
    """A statistic of a sample `(runs,)` with its bias-corrected and accelerated bootstrap interval (Efron 1987).

    `statistic` takes an array and `axis`. The resamples are the same at every call.

    >>> found = bootstrap(np.arange(101.0))  # whose mean has a standard error of 2.9
    >>> found.value, 43 < found.low < 46, 54 < found.high < 57
    (50.0, True, True)
    """
    sample = np.asarray(sample, float)
    if sample.size == 0:
        return Estimate(np.nan, np.nan, np.nan)
    value = float(statistic(sample, axis=-1)) if sample.size > 1 or statistic is np.mean else np.nan
    if sample.size < 3 or np.ptp(sample) == 0:
        return Estimate(value, np.nan, np.nan)
    low, high, _ = _accelerated([sample], statistic)
    return Estimate(value, low, high)


def _accelerated(samples: Sequence[np.ndarray], statistic: Any) -> tuple[float, float, np.ndarray]:
    """Ends of the bias-corrected and accelerated 95 % interval, runs being resampled together, and the resamples.

    Both ends are NaN where the resamples have none, as where a run's loss dwarfs all others: that says enough, so no
    warning is given.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        done = stats.bootstrap(
            tuple(samples),
            statistic,
            paired=len(samples) > 1,
            n_resamples=_RESAMPLES,
            method="BCa",
            rng=np.random.default_rng(0),
        )
    low, high = map(float, done.confidence_interval)
    known = np.isfinite(low) and np.isfinite(high)
    return (low if known else np.nan), (high if known else np.nan), done.bootstrap_distribution


def spreads_p(spreads: np.ndarray, expected: np.ndarray, size: int) -> float:
    """Two-sided p-value that samples of one size have the standard deviations expected of them, all together.

    The sum of (n − 1) s²/σ² is about a χ² with n − 1 degrees for each sample.

    Args:
        spreads: standard deviations of independent samples `(samples,)`.
        expected: σ of each.
        size: n, of every sample.

    >>> spreads_p(np.array([1.0, 1.0, 1.0]), np.array([1.0, 1.0, 1.0]), 20) > 0.9
    True
    >>> spreads_p(np.array([1.5, 1.5, 1.5]), np.array([1.0, 1.0, 1.0]), 20) < 0.001
    True
    """
    total, degrees = float(((size - 1) * (spreads / expected) ** 2).sum()), (size - 1) * len(spreads)
    return float(2 * min(stats.chi2.sf(total, degrees), stats.chi2.cdf(total, degrees)))


class Contrast(NamedTuple):
    """A quantity of several samples, with its interval, and how surely it lies on either side of a bound.

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

    Runs are resampled together in all samples. The 95 % interval is bias-corrected and accelerated (Efron 1987), and
    the p-values are those levels at which a one-sided interval of this kind ends at the bound. They never grow as the
    bound moves away, and are at least one divided by one more than the number of resamples.

    Args:
        samples: each `(runs,)`, of the same runs in the same order.
        quantity: takes the samples and `axis`.
        bound: to compare with.

    >>> one, other = np.arange(40.0) + 30, np.arange(40.0)[::-1] + 5
    >>> found = contrast([one, other], log_ratio_of_means, bound=np.log(1.5))
    >>> round(float(np.exp(found.value)), 3), found.p_above < 0.01
    (2.02, True)
    """
    runs = len(samples[0])
    value = float(quantity(*samples, axis=-1)) if runs > 1 else np.nan
    if runs < 3:
        return Contrast(value, np.nan, np.nan, np.nan, np.nan, np.nan)
    left_out = [np.array([np.delete(sample, run) for run in range(runs)]) for sample in samples]
    influence = np.asarray(quantity(*left_out, axis=-1))
    deviation = influence.mean() - influence if np.isfinite(influence).all() else np.array([np.nan])
    if not np.isfinite(deviation).all() or np.allclose(deviation, 0, atol=1e-12 * abs(value)):
        return Contrast(value, np.nan, np.nan, np.nan, np.nan, np.nan)
    low, high, drawn = _accelerated(samples, quantity)
    acceleration = (deviation**3).sum() / (6 * (deviation**2).sum() ** 1.5)

    floor = 1 / (_RESAMPLES + 1)

    def normal(below: float) -> float:
        """Deviate of the share of resamples below a value."""
        return float(stats.norm.ppf(np.clip(below, floor, 1 - floor)))

    bias = normal(((drawn < value).mean() + (drawn <= value).mean()) / 2)
    off = normal(((drawn < bound).mean() + (drawn <= bound).mean()) / 2) - bias
    stretched = 1 + acceleration * off
    at = off / stretched if stretched > 0 else np.copysign(np.inf, off)
    # No interval of this kind reaches beyond all resamples.
    beyond = bound < drawn.min() or bound > drawn.max()
    p_above = float(bound > value) if beyond else float(stats.norm.cdf(at - bias))
    p_above = min(max(p_above, floor), 1 - floor)
    error = float(drawn.std(ddof=1)) if np.isfinite(drawn).all() else np.nan
    return Contrast(value, low, high, p_above, 1 - p_above, error)


class Evidence(ABC):
    """What samples say of a quantity: its value, and a limit on either side for any level.

    Interval and p-value are one thing: the p-value is the lowest level whose one-sided interval leaves the bound out.
    So it falls, or stays, as the bound moves away from the value.

    Attributes:
        value: of the quantity.
        pull: how much each run raises the value, up to a factor `(runs,)`; the runs of all samples are paired.
    """

    value: float
    pull: np.ndarray

    @abstractmethod
    def lower(self, level: float) -> float:
        """Lower limit: the quantity lies below it in this share of samples, at most 0.5."""

    @abstractmethod
    def upper(self, level: float) -> float:
        """Upper limit: the quantity lies above it in this share of samples, at most 0.5."""

    @property
    def error(self) -> float:
        """Its standard error: half of the interval that a standard error on either side would be."""
        return (self.upper(_ONE_ERROR) - self.lower(_ONE_ERROR)) / 2

    def p_above(self, bound: float) -> float:
        """p-value of the quantity being at most the bound; small where it is surely above."""
        if not self.value > bound:
            return 1 - self.p_below(bound) if self.value < bound else 0.5
        return _lowest_level(lambda level: self.lower(level) > bound)

    def p_below(self, bound: float) -> float:
        """p-value of the quantity being at least the bound; small where it is surely below."""
        if not self.value < bound:
            return 1 - self.p_above(bound) if self.value > bound else 0.5
        return _lowest_level(lambda level: self.upper(level) < bound)


def _lowest_level(leaves_out: Callable[[float], bool]) -> float:
    """Lowest level at which an interval leaves its bound out, by bisection of the normal deviate of the level."""
    low, high = 0.0, _FARTHEST
    if leaves_out(float(ndtr(-high))):
        return float(ndtr(-high))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if leaves_out(float(ndtr(-middle))) else (low, middle)
    return float(ndtr(-low))


class Means(Evidence):
    """A weighted sum of the means of samples that are paired run by run, or of the logs of the means.

    By the studentised bootstrap (Efron and Tibshirani 1993, chapter 12), runs being resampled together. A p-value is
    (1 + count) / (resamples + 1) (Davison and Hinkley 1997, section 4.2.5), and a limit is the resample at which that
    passes the level. It holds up best of the usual intervals where few runs fail, since a resample that has lost them
    has a small error of its own.

    Args:
        samples: `(samples, runs)`, of the same runs in the same order.
        weights: of each sample, `(samples,)`.
        logs: whether the means' logs are summed; their ratio is then the exponential of the value.

    Raises:
        ValueError: there are fewer than three runs, the sum varies with none of them, or the log of a mean is asked for
            that is zero.

    >>> one, other = np.arange(1.0, 41), np.arange(1.0, 41)[::-1] + 60
    >>> found = Means(np.array([other, one]), np.array([1, -1]), logs=True)
    >>> round(float(np.exp(found.value)), 3), found.p_above(0.0), found.lower(0.001) > 0
    (3.927, 0.0001, True)
    """

    def __init__(self, samples: np.ndarray, weights: np.ndarray, logs: bool) -> None:
        samples, weights = np.asarray(samples, float), np.asarray(weights, float)
        runs = samples.shape[1]
        if runs < 3:
            raise ValueError(f"{runs} runs are too few")
        means = samples.mean(axis=1)
        if logs and not (means > 0).all():
            raise ValueError("a mean is zero, which has no logarithm")
        self.value = float(weights @ (np.log(means) if logs else means))
        # About the means, and for logs relative to them: the error of resampling is then free of cancellation.
        about = (samples - means[:, None]) / (means[:, None] if logs else 1)
        self.pull = weights @ about
        self._error = float(np.sqrt((self.pull**2).mean() / (runs - 1)))
        if not self._error > 1e-12 * abs(about).max() or not np.isfinite(self._error):
            raise ValueError("the samples do not vary")
        self._about, self._weights, self._logs = about, weights, logs

    @cached_property
    def _deviates(self) -> np.ndarray:
        """What resamples deviate by, in units of their own standard errors, ascending `(resamples,)`."""
        about, weights = self._about, self._weights
        count, runs = about.shape
        if not self._logs:  # so that squares fit single precision; a power of two changes no digit
            about = about / 2.0 ** np.floor(np.log2(abs(about).max()))
        pairs = [(one, other) for one in range(count) for other in range(one, count)]
        products = np.array([about[one] * about[other] for one, other in pairs])
        drawn = (_resampled(runs) @ np.vstack([about, products]).T.astype(np.float32)).astype(float) / runs
        shifts, squares = drawn[:, :count], drawn[:, count:]
        # A resample may have a mean of zero, whose logarithm is infinite, or no variance.
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = weights / (1 + shifts) if self._logs else np.broadcast_to(weights, shifts.shape)
            variance = np.zeros(len(drawn))
            for column, (one, other) in enumerate(pairs):
                covariance = squares[:, column] - shifts[:, one] * shifts[:, other]
                variance += (1 if one == other else 2) * slopes[:, one] * slopes[:, other] * covariance
            errors = np.sqrt(np.maximum(variance, 0) / (runs - 1))
            deviates = (np.log1p(shifts) if self._logs else shifts) @ weights / errors
        return np.sort(np.nan_to_num(deviates, nan=0.0, posinf=np.inf, neginf=-np.inf))

    @property
    def error(self) -> float:
        """Its standard error, by the delta method."""
        return self._error

    def lower(self, level: float) -> float:
        """As in `Evidence`; minus infinity below the lowest level that the resamples can show."""
        beyond = _most_beyond(level)
        return self.value - self._error * float(self._deviates[-1 - beyond]) if beyond >= 0 else -np.inf

    def upper(self, level: float) -> float:
        """As in `Evidence`; infinity below the lowest level that the resamples can show."""
        beyond = _most_beyond(level)
        return self.value - self._error * float(self._deviates[beyond]) if beyond >= 0 else np.inf

    def p_above(self, bound: float) -> float:
        """As in `Evidence`, counted."""
        beyond = len(self._deviates) - np.searchsorted(self._deviates, (self.value - bound) / self._error, "left")
        return float(1 + beyond) / (RESAMPLES + 1)

    def p_below(self, bound: float) -> float:
        """As in `Evidence`, counted."""
        beyond = np.searchsorted(self._deviates, (self.value - bound) / self._error, "right")
        return float(1 + beyond) / (RESAMPLES + 1)


def _most_beyond(level: float) -> int:
    """How many resamples may lie beyond a bound that is still left out at a level; −1 if not even none."""
    return math.ceil(round(level * (RESAMPLES + 1), 9)) - 2


@lru_cache(maxsize=4)
def _resampled(runs: int) -> np.ndarray:
    """How often each run is in each resample, `(resamples, runs)`; the same at every call."""
    drawn = np.random.default_rng(0).integers(runs, size=(RESAMPLES, runs)) + runs * np.arange(RESAMPLES)[:, None]
    return np.bincount(drawn.ravel(), minlength=RESAMPLES * runs).reshape(RESAMPLES, runs).astype(np.float32)


class _Difference(Evidence):
    """A difference of independent quantities, by the limits of each (Zou and Donner 2008)."""

    def __init__(self, one: float, other: float) -> None:
        self._of = one, other
        self.value = one - other

    @abstractmethod
    def _limits(self, level: float) -> tuple[tuple[float, float], tuple[float, float]]:
        """Lower and upper limit of either."""

    def lower(self, level: float) -> float:
        """As in `Evidence`."""
        (low, _), (_, high) = self._limits(level)
        return self.value - math.hypot(self._of[0] - low, high - self._of[1])

    def upper(self, level: float) -> float:
        """As in `Evidence`."""
        (_, high), (low, _) = self._limits(level)
        return self.value + math.hypot(high - self._of[0], self._of[1] - low)


class Shares(_Difference):
    """Difference of two independent shares of runs, by Newcombe's hybrid score interval (1998, method 10).

    Args:
        one, other: whether each run counts, `(runs,)` and `(others,)`.

    Raises:
        ValueError: a sample is empty.

    >>> found = Shares(np.arange(70) < 56, np.arange(80) < 48)  # 56/70 and 48/80, Newcombe's table II, (a)
    >>> round(found.value, 4), round(found.lower(0.025), 4), round(found.upper(0.025), 4)
    (0.2, 0.0524, 0.3339)
    """

    def __init__(self, one: np.ndarray, other: np.ndarray) -> None:
        if not (len(one) and len(other)):
            raise ValueError("a sample is empty")
        self._counts = (int(np.sum(one)), len(one)), (int(np.sum(other)), len(other))
        super().__init__(float(np.mean(one)), float(np.mean(other)))
        if len(one) == len(other):
            self.pull = np.asarray(one, float) - np.asarray(other, float)

    def _limits(self, level: float) -> tuple[tuple[float, float], tuple[float, float]]:
        z = float(ndtri(1 - level))
        one, other = (wilson(*count, z) for count in self._counts)
        return one, other


def wilson(count: int, of: int, z: float) -> tuple[float, float]:
    """Score interval of a share (Wilson 1927).

    Args:
        count: of runs that have it.
        of: all runs.
        z: normal deviate of the level.

    >>> tuple(round(end, 4) for end in wilson(0, 200, 1.96))
    (0.0, 0.0188)
    """
    middle = count + z * z / 2
    half = z * math.sqrt(count * (of - count) / of + z * z / 4)
    return max(0.0, (middle - half) / (of + z * z)), min(1.0, (middle + half) / (of + z * z))


class Quantiles(_Difference):
    """Difference of a quantile of two independent samples, each with limits of fractional order statistics.

    A limit lies between the two runs whose ranks are next to the one that has the level (Hutson 1999), whatever the
    distribution. The value is the limit of level 0.5, the median-unbiased estimate.

    Args:
        one, other: samples `(runs,)` and `(others,)`; none of them below zero.
        share: of the distribution below the quantile.

    Raises:
        ValueError: a sample is empty.

    >>> found = Quantiles(np.arange(1.0, 201), np.arange(1.0, 201) + 5, 0.1)
    >>> round(found.value, 3), round(found.lower(0.025), 1), round(found.upper(0.025), 1)
    (-5.0, -16.7, 6.7)
    """

    def __init__(self, one: np.ndarray, other: np.ndarray, share: float) -> None:
        if not (len(one) and len(other)):
            raise ValueError("a sample is empty")
        self._samples = np.sort(one), np.sort(other)
        self._share = share
        super().__init__(*(_fractional(sample, share, 0.0) for sample in self._samples))
        if len(one) == len(other):
            self.pull = np.asarray(other <= self._of[1], float) - np.asarray(one <= self._of[0], float)

    def _limits(self, level: float) -> tuple[tuple[float, float], tuple[float, float]]:
        z = float(ndtri(1 - level))
        one, other = (
            (_fractional(sample, self._share, -z), _fractional(sample, self._share, z)) for sample in self._samples
        )
        return one, other


def _fractional(ordered: np.ndarray, share: float, z: float) -> float:
    """The value between two runs that lies above a quantile with the probability of a normal deviate."""
    ranks, deviates = _rank_deviates(len(ordered), share)
    rank = float(np.interp(z, deviates, ranks))
    below = int(rank)
    ends = np.concatenate([[0.0], ordered, [np.inf]])
    return float(ends[below] if rank == below else ends[below] + (rank - below) * (ends[below + 1] - ends[below]))


@lru_cache(maxsize=16)
def _rank_deviates(runs: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Fractional ranks, and the normal deviate of the probability that the run of this rank is above a quantile."""
    ranks = np.linspace(0, runs + 1, 50 * (runs + 1) + 1)[1:-1]
    deviates = -ndtri(betainc(ranks, runs + 1 - ranks, share))
    finite = np.isfinite(deviates)
    return ranks[finite], deviates[finite]


def prediction(paper: Evidence, ours: Evidence, level: float) -> tuple[float, float]:
    """Limits between which our value lies if the quantity is the same as that of other samples, the paper's.

    Both have their own sampling error (Zou and Donner 2008): our value lies outside where the interval of the
    difference of both leaves out zero.

    Args:
        paper: what the paper's runs say.
        ours: what ours do.
        level: of either side.

    >>> half, all_ = np.arange(200) < 100, np.ones(200, bool)
    >>> paper = Shares(half, ~all_)
    >>> low, high = prediction(paper, paper, 0.025)
    >>> round(low, 3), round(high, 3)  # one sample allows 0.43 to 0.57, two allow more
    (0.401, 0.599)
    """
    down = paper.value - paper.lower(level), ours.upper(level) - ours.value
    up = paper.upper(level) - paper.value, ours.value - ours.lower(level)
    return paper.value - math.hypot(*down), paper.value + math.hypot(*up)


def log_ratio_of_means(one: np.ndarray, other: np.ndarray, axis: int = -1) -> Any:
    """Log of the mean of one sample divided by that of another; infinite or NaN where a mean is zero.

    >>> float(np.exp(log_ratio_of_means(np.array([2.0, 4.0]), np.array([1.0, 2.0]))))
    2.0
    """
    return _log_ratio(np.mean(one, axis=axis), np.mean(other, axis=axis))


def log_ratio_of_sds(one: np.ndarray, other: np.ndarray, axis: int = -1) -> Any:
    """Log of the standard deviation of one sample divided by that of another; infinite or NaN where one is zero.

    >>> round(float(np.exp(log_ratio_of_sds(np.array([2.0, 4.0]), np.array([1.0, 2.0])))), 12)
    2.0
    """
    return _log_ratio(standard_deviation(one, axis), standard_deviation(other, axis))


def _log_ratio(one: Any, other: Any) -> Any:
    """Log of a ratio, without a warning where it has no number."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.log(one / other)


def expected_best(sample: np.ndarray, of: int, axis: int = -1) -> Any:
    """Expected lowest of a number of runs drawn without replacement, by order statistics.

    The i-th lowest of n is the lowest of k drawn with probability C(n − i, k − 1) / C(n, k). NaN for k > n.

    >>> float(expected_best(np.array([3.0, 1.0, 2.0]), of=2))  # of the pairs (3, 1), (3, 2) and (1, 2)
    1.3333333333333333
    """
    sorted_ = np.sort(np.moveaxis(sample, axis, -1), axis=-1)
    runs = sorted_.shape[-1]
    if of > runs:
        return np.full(sorted_.shape[:-1], np.nan)
    shares = comb(runs - np.arange(1, runs + 1), of - 1) / comb(runs, of)
    return sorted_ @ shares


def dip_p(sample: np.ndarray) -> float:
    """p-value of a sample having one mode (Hartigan and Hartigan 1985); NaN for fewer than four runs.

    >>> one_heap = np.arange(50) / 50
    >>> dip_p(one_heap) > 0.9, dip_p(np.concatenate([one_heap, one_heap + 5])) < 0.001
    (True, True)
    """
    return float(diptest(sample)[1]) if len(sample) >= 4 else np.nan


def beats(one: np.ndarray, other: np.ndarray) -> Estimate:
    """Probability that a run of one sample has a lower loss than the paired run of the other; ties count half.

    >>> beats(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 2.0, 2.0, 5.0])).value
    0.625
    """
    return bootstrap((one < other) + 0.5 * (one == other))
