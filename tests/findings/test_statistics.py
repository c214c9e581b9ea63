"""Intervals and averages of samples."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmoe_repro.findings import statistics
from mmoe_repro.findings.statistics import (
    RESAMPLES,
    Means,
    Quantiles,
    Shares,
    beats,
    bootstrap,
    contrast,
    expected_best,
    iqm,
    log_ratio_of_sds,
    prediction,
    spreads_p,
    standard_deviation,
)

RESULTS = Path(__file__).parents[2] / "results"


def test_a_bound_beyond_all_resamples_has_the_lowest_p_value():
    """Figure 4's spread of Shared-Bottom by OMoE's at 1: 5.9 (2.7 to 11.5) against 1.33, once given 0.09."""
    runs = pd.read_parquet(RESULTS / "figure4" / "runs.parquet").query("task == 1 and correlation == 1")
    both = runs.pivot(index="seed", columns="model", values="test_loss")[["shared_bottom", "omoe"]].to_numpy().T
    found = contrast(list(both), log_ratio_of_sds, np.log(1.33))
    assert np.exp([found.value, found.low, found.high]) == pytest.approx([5.86, 2.74, 11.5], rel=0.02)
    assert found.p_above == 1 / 4_001


def test_a_p_value_never_grows_as_its_bound_moves_away():
    generator = np.random.default_rng(7)
    for size in (5, 20, 200):
        for sample in (generator.exponential(1, size), -generator.exponential(1, size), generator.normal(0, 1, size)):
            bounds = sample.mean() + np.linspace(-6, 6, 61) * sample.std()
            p_above = [contrast([sample], lambda one, axis: one.mean(axis=axis), bound).p_above for bound in bounds]
            assert (np.diff(p_above) >= 0).all() and p_above[0] < 0.001 and p_above[-1] > 0.999


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


def test_beating_is_run_by_run_and_ties_count_half():
    one, other = np.array([1.0, 2.0, 3.0, 4.0] * 10), np.array([2.0, 2.0, 1.0, 5.0] * 10)
    assert beats(one, other).value == pytest.approx((1 + 0.5 + 0 + 1) / 4)


# -- what decides a claim ------------------------------------------------------------------------


def lognormal(generator, runs, cells=2, width=0.8):
    return np.exp(generator.normal(0, width, (cells, runs)))


def means(samples):
    return Means(samples, np.array([1, -1]), logs=True)


def evidence(generator, runs):
    """One of each kind, of made-up runs, with bounds on either side of its value."""
    one, other = lognormal(generator, runs)
    bad = generator.random((2, runs)) < [[0.3], [0.1]]
    return [
        (means(np.stack([one, other])), np.linspace(-2, 2, 81)),
        (Means(np.stack([one, other]), np.array([1, -1]), logs=False), np.linspace(-2, 2, 81)),
        (Shares(*bad), np.linspace(-0.9, 0.9, 81)),
        (Quantiles(one, other, 0.1), np.linspace(-0.6, 0.6, 81)),
    ]


@pytest.mark.parametrize("runs", [8, 40, 200])
def test_a_bound_is_left_out_exactly_where_its_p_value_is_below_the_level(runs):
    for found, bounds in evidence(np.random.default_rng(runs), runs):
        for level in (0.05, 0.00625, 0.00625 / 6, 0.0001):
            for bound in bounds:
                assert (found.lower(level) > bound) == (found.p_above(bound) < level)
                assert (found.upper(level) < bound) == (found.p_below(bound) < level)


@pytest.mark.parametrize("runs", [8, 40, 200])
def test_p_values_and_limits_are_monotone(runs):
    levels = np.geomspace(1e-4, 0.5, 60)
    for found, bounds in evidence(np.random.default_rng(runs), runs):
        assert (np.diff([found.p_above(bound) for bound in bounds]) >= 0).all()
        assert (np.diff([found.p_below(bound) for bound in bounds]) <= 0).all()
        assert (np.diff([found.lower(level) for level in levels]) >= 0).all()
        assert (np.diff([found.upper(level) for level in levels]) <= 0).all()
        assert all(found.lower(level) <= found.value <= found.upper(level) for level in levels[levels < 0.2])


def test_the_lowest_p_value_is_one_divided_by_one_more_than_the_resamples():
    found = means(lognormal(np.random.default_rng(0), 100))
    assert found.p_above(-50.0) == found.p_below(50.0) == 1 / (RESAMPLES + 1)
    assert found.lower(1 / (RESAMPLES + 1)) == -np.inf and found.lower(1.1 / (RESAMPLES + 1)) > -np.inf
    # That of the eight claims, the largest of which by resamples has six parts.
    assert 8 * 6 / (RESAMPLES + 1) < 0.05


def test_means_of_normal_samples_are_compared_as_by_the_paired_t_test():
    generator = np.random.default_rng(4)
    shared = generator.normal(0, 3, 300)
    one, other = shared + generator.normal(0.15, 1, 300), shared + generator.normal(0, 1, 300)
    found = Means(np.stack([one, other]), np.array([1, -1]), logs=False)
    t = stats.ttest_rel(one, other, alternative="greater")
    low, high = stats.ttest_rel(one, other).confidence_interval(0.98)
    assert found.value == pytest.approx((one - other).mean())
    assert found.error == pytest.approx((one - other).std(ddof=1) / np.sqrt(300))
    assert (found.lower(0.01), found.upper(0.01)) == (pytest.approx(low, abs=0.015), pytest.approx(high, abs=0.015))
    assert found.p_above(0.0) == pytest.approx(t.pvalue, abs=0.01)


def test_a_ratio_of_means_does_not_depend_on_their_unit():
    samples = lognormal(np.random.default_rng(1), 60)
    one, other = means(samples), means(7 * samples)
    assert one.lower(0.01) == pytest.approx(other.lower(0.01), rel=1e-5)
    assert one.value == pytest.approx(np.log(samples[0].mean() / samples[1].mean()))


def test_an_interaction_of_means():
    samples = lognormal(np.random.default_rng(2), 400, cells=4)
    found = Means(samples, np.array([1, -1, -1, 1]), logs=True)
    single = (samples.std(axis=1) / samples.mean(axis=1)) ** 2
    assert found.value == pytest.approx(np.log(samples.mean(axis=1)) @ [1, -1, -1, 1])
    assert found.error == pytest.approx(np.sqrt(single.sum() / 400), rel=0.15), "of samples that are independent"


def test_few_failing_runs_do_not_make_means_look_sure():
    """At 1.25 % a side the studentised bootstrap misses in about that; the bias-corrected one in several times it."""
    generator, missed = np.random.default_rng(3), 0
    for _ in range(400):
        bad = generator.random((2, 60)) < 0.04
        samples = np.where(bad, generator.normal(0.45, 0.03, bad.shape), generator.normal(0.06, 0.01, bad.shape))
        found = means(samples)
        missed += not found.lower(0.0125) <= 0 <= found.upper(0.0125)
    assert missed / 400 <= 0.025 + 4 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(
    ("one", "of", "other", "of_other", "low", "high"),
    [  # Newcombe 1998, Table II, method 10
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 20, -0.1611, 0.2775),
        (0, 10, 0, 10, -0.2775, 0.2775),
        (10, 10, 0, 20, 0.6791, 1.0),
        (10, 10, 0, 10, 0.6075, 1.0),
    ],
)
def test_newcombes_intervals(one, of, other, of_other, low, high):
    found = Shares(np.arange(of) < one, np.arange(of_other) < other)
    assert (found.lower(0.025), found.upper(0.025)) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_limits_of_a_quantile_are_order_statistics_where_their_level_is_a_whole_rank():
    ordered = np.sort(np.random.default_rng(5).exponential(1, 120))
    for rank in (5, 12, 20):
        above = stats.binom.cdf(rank - 1, 120, 0.1)  # the run of this rank lies above the quantile
        limit = statistics._fractional(ordered, 0.1, stats.norm.ppf(above))
        assert limit == pytest.approx(ordered[rank - 1], rel=1e-3)


def test_quantiles_of_a_few_runs_are_covered():
    generator = np.random.default_rng(6)
    for runs in (20, 60):
        held = [
            (found := Quantiles(*generator.exponential(1, (2, runs)), 0.1)).lower(0.025) <= 0 <= found.upper(0.025)
            for _ in range(600)
        ]
        # Four standard errors; a limit of the difference of two is on the safe side.
        assert np.mean(held) >= 0.95 - 4 * np.sqrt(0.05 * 0.95 / 600)


def test_samples_that_say_nothing_are_refused():
    for samples in (np.ones((2, 9)), np.array([[1.0, 2, 3, 5]] * 2), np.empty((2, 0)), np.ones((2, 2))):
        with pytest.raises(ValueError):
            means(samples)
    for kind in (Shares, lambda one, other: Quantiles(one, other, 0.1)):
        with pytest.raises(ValueError, match="empty"):
            kind(np.empty(0), np.ones(3))


def test_the_run_that_pulls_most_is_the_one_whose_loss_changes_the_value_most():
    generator = np.random.default_rng(8)
    samples = lognormal(generator, 30)
    left_out = [means(np.delete(samples, run, axis=1)).value for run in range(30)]
    assert np.argmax(means(samples).pull) == np.argmin(left_out) and np.argmin(means(samples).pull) == np.argmax(
        left_out
    )
    bad = np.array([[1, 0, 0, 0, 1], [0, 0, 1, 0, 1]])
    np.testing.assert_array_equal(Shares(*bad).pull, [1, 0, -1, 0, 0])
    pull = Quantiles(*samples, 0.1).pull
    left_out = [Quantiles(*np.delete(samples, run, axis=1), 0.1).value for run in range(30)]
    assert np.mean(np.array(left_out)[pull < 0]) > np.mean(np.array(left_out)[pull > 0])


def test_a_prediction_holds_the_values_of_other_samples_of_the_same_size():
    """In 95 % of trials; an interval of the first alone would in 83."""
    generator, held, alone = np.random.default_rng(9), [], []
    for _ in range(400):
        first, second = (means(lognormal(generator, 60, width=0.5)) for _ in range(2))
        low, high = prediction(first, second, 0.025)
        held.append(low <= second.value <= high)
        alone.append(first.lower(0.025) <= second.value <= first.upper(0.025))
    assert abs(np.mean(held) - 0.95) < 4 * np.sqrt(0.05 * 0.95 / 400)
    assert np.mean(alone) < 0.9


def test_a_prediction_is_the_test_of_no_difference_turned_round():
    """Of shares that do not overlap ours lies outside, of the same it lies in the middle."""
    one, same, other = (Shares(np.arange(200) < count, np.arange(200) < 10) for count in (60, 60, 150))
    low, high = prediction(one, same, 0.00625)
    assert low < same.value < high
    assert other.value > prediction(one, other, 0.00625)[1]
