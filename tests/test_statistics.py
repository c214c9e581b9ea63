"""Intervals and averages of samples."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from mmoe_repro.statistics import (
    beats,
    bootstrap,
    brown_forsythe_p,
    contrast,
    expected_best,
    holm,
    iqm,
    log_ratio_of_sds,
    permutation_p,
    spreads_p,
    standard_deviation,
)


def test_a_bound_beyond_all_resamples_is_surely_left_behind():
    """Of skewed samples, too, whose acceleration would turn a far bound round."""
    generator = np.random.default_rng(0)
    for sample in (generator.exponential(1, 100), -generator.exponential(1, 100)):
        for bound in (sample.mean() - 9, sample.mean() - 2):
            found = contrast([sample], lambda one, axis: one.mean(axis=axis), bound)
            assert found.p_above < 0.005 and found.p_below > 0.995
        found = contrast([sample], lambda one, axis: one.mean(axis=axis), sample.mean() + 9)
        assert found.p_above > 0.995


def test_mean_and_its_interval():
    sample = np.random.default_rng(0).normal(3, 2, 400)
    estimate = bootstrap(sample)
    assert estimate.value == pytest.approx(sample.mean())
    # A normal sample's interval is ±1.96 standard errors.
    half = 1.96 * sample.std(ddof=1) / 20
    assert estimate.low == pytest.approx(sample.mean() - half, abs=0.1 * half)
    assert estimate.high == pytest.approx(sample.mean() + half, abs=0.1 * half)


def test_sd_interval_of_a_normal_sample_is_the_chi_square_one():
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


# -- paired comparisons --------------------------------------------------------------------------


def difference(one, other, axis=-1):
    return np.mean(one, axis=axis) - np.mean(other, axis=axis)


def test_a_contrast_of_paired_normal_samples_is_the_paired_t_test():
    generator = np.random.default_rng(4)
    shared = generator.normal(0, 3, 300)
    one, other = shared + generator.normal(0.15, 1, 300), shared + generator.normal(0, 1, 300)
    found = contrast([one, other], difference, 0.0)
    t = stats.ttest_rel(one, other, alternative="greater")
    low, high = stats.ttest_rel(one, other).confidence_interval()
    assert found.value == pytest.approx((one - other).mean())
    assert (found.low, found.high) == (pytest.approx(low, abs=0.02), pytest.approx(high, abs=0.02))
    assert found.p_above == pytest.approx(t.pvalue, abs=0.01)
    assert found.p_below == pytest.approx(1 - t.pvalue, abs=0.01)
    assert found.error == pytest.approx((one - other).std(ddof=1) / np.sqrt(300), rel=0.05)


def test_its_p_value_is_the_level_of_the_interval_that_ends_at_the_bound():
    generator = np.random.default_rng(5)
    samples = [generator.exponential(1, 60), generator.exponential(1.3, 60)]
    found = contrast(samples, log_ratio_of_sds, 0.0)
    assert contrast(samples, log_ratio_of_sds, found.low).p_above == pytest.approx(0.025, abs=0.002)
    assert contrast(samples, log_ratio_of_sds, found.high).p_below == pytest.approx(0.025, abs=0.002)


def test_a_contrast_of_constant_or_tiny_samples_is_unknown():
    same = np.array([1.0, 2.0, 3.0])
    assert np.isnan(contrast([same, same], difference, 0.0).p_above)
    assert contrast([same, same], difference, 0.0).value == 0
    assert np.isnan(contrast([same[:2], same[1:]], difference, 0.0).low)


def test_the_expected_best_is_the_mean_over_all_subsets():
    sample = np.array([5.0, 1.0, 4.0, 2.0, 8.0, 3.0])
    for of in range(1, 7):
        assert expected_best(sample, of) == pytest.approx(np.mean([min(s) for s in combinations(sample, of)]))
    np.testing.assert_allclose(
        expected_best(np.stack([sample, sample * 2]), 3), expected_best(sample, 3) * np.array([1, 2])
    )
    assert np.isnan(expected_best(sample, 7))


def test_spreads_are_compared_about_the_means():
    generator = np.random.default_rng(6)
    one, other = generator.normal(0, 1, 80), generator.normal(50, 1, 80)
    assert permutation_p(one, other) > 0.05 and brown_forsythe_p(one, other) > 0.05
    assert permutation_p(one * 2, other) < 0.01 and brown_forsythe_p(one * 2, other) < 0.01


def test_beating_is_run_by_run_and_ties_count_half():
    one, other = np.array([1.0, 2.0, 3.0, 4.0] * 10), np.array([2.0, 2.0, 1.0, 5.0] * 10)
    assert beats(one, other).value == pytest.approx((1 + 0.5 + 0 + 1) / 4)


def test_holms_correction():
    # Holm 1979: the lowest times 3, the next times 2, and never lower than the one before.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.01, np.nan, 0.5, 0.9]), [0.03, np.nan, 1, 1])
