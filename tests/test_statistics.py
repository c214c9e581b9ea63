"""Intervals and averages of samples."""

import numpy as np
import pytest

from mmoe_repro.statistics import bootstrap, iqm, spreads_p, standard_deviation


def test_mean_and_its_interval():
    sample = np.random.default_rng(0).normal(3, 2, 400)
    estimate = bootstrap(sample)
    assert estimate.value == pytest.approx(sample.mean())
    # A normal sample's interval is ±1.96 standard errors.
    half = 1.96 * sample.std(ddof=1) / 20
    assert estimate.low == pytest.approx(sample.mean() - half, abs=0.1 * half)
    assert estimate.high == pytest.approx(sample.mean() + half, abs=0.1 * half)


def test_sd_interval_of_a_normal_sample_is_the_chi_square_one():
    from scipy import stats

    sample = np.random.default_rng(1).normal(0, 1, 400)
    sd = sample.std(ddof=1)
    low, high = (sd * np.sqrt(399 / stats.chi2.ppf(level, 399)) for level in (0.975, 0.025))
    estimate = bootstrap(sample, standard_deviation)
    assert estimate.value == pytest.approx(sd)
    assert (estimate.low, estimate.high) == (pytest.approx(low, abs=0.015), pytest.approx(high, abs=0.015))


def test_ninety_five_percent_intervals_cover():
    generator = np.random.default_rng(2)
    covered = [(interval := bootstrap(generator.exponential(1, 50))).low <= 1 <= interval.high for _ in range(300)]
    # 300 trials: the standard error of a share of 0.95 is 0.0126; BCa is known to fall a little short at n = 50.
    assert 0.95 - 0.02 - 3 * 0.0126 <= np.mean(covered) <= 0.95 + 3 * 0.0126


def test_the_same_sample_gives_the_same_interval():
    sample = np.random.default_rng(3).normal(size=30)
    assert bootstrap(sample) == bootstrap(sample.copy())


def test_samples_too_small_or_constant_have_no_interval():
    assert np.isnan(bootstrap(np.array([])).value)
    assert bootstrap(np.array([2.0])).value == 2
    assert np.isnan(bootstrap(np.array([2.0]), standard_deviation).value)
    assert np.isnan(bootstrap(np.array([2.0, 2.0, 2.0])).low)


def test_iqm_is_the_mean_of_the_middle_half():
    assert iqm(np.array([0, 1, 2, 3, 4, 5, 6, 100.0])) == np.mean([2, 3, 4, 5])


def test_spreads_p_is_uniform_where_the_spreads_are_as_expected():
    generator = np.random.default_rng(0)
    expected = np.array([1.0, 2.0, 0.1])
    samples = generator.normal(0, expected, (2_000, 50, 3))
    found = np.array([spreads_p(one.std(0, ddof=1), expected, 50) for one in samples])
    # Its share below a level is that level; four binomial standard errors.
    for level in (0.05, 0.5):
        assert (found < level).mean() == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 2_000))
    assert spreads_p(1.5 * expected, expected, 50) < 1e-6
