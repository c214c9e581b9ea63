"""Distances from the paper's figures."""

import numpy as np
import pytest

from mmoe_repro.recovery import score
from mmoe_repro.recovery.score import CURVES, READOUTS, Curve, Readout

PLAIN = Readout(1.0, False, False)
MMOE = Curve("figure4", "mmoe", 0.5)


def replicate(curve, seed, runs=200):
    """Runs such as the paper's own setting would give: final losses of Figure 5, in proportion at every step."""
    of_paper = score.histogram(curve.model, curve.correlation)
    final = np.random.default_rng(seed).choice(of_paper.middles, runs, p=of_paper.shares / of_paper.shares.sum())
    steps, means = score.published(curve)
    curves = np.full(100, means[0])
    curves[steps // 100] = means
    losses = final[:, None] * curves / curves[-1] * curves[-1] / (of_paper.middles @ of_paper.shares)
    losses[:, -1] = final
    return np.stack([losses, losses])


@pytest.mark.parametrize("runs", [20, 200])
def test_runs_of_the_papers_own_setting_score_as_the_units_say(runs):
    """Where the paper's histogram is the truth, so that only our side has an error."""
    drawn = [{curve: replicate(curve, seed, runs) for curve in CURVES} for seed in range(60)]
    scores = [score.score(losses, PLAIN) for losses in drawn]
    expected = np.sqrt(200 / runs) / np.sqrt(1 + 200 / runs)
    # Four standard errors; the units are themselves a Monte Carlo of 1,000, and a tenth of the histograms' distances
    # does not grow with 1 / √runs since final losses lie on a grid of bins.
    assert np.mean(scores) == pytest.approx(expected, abs=4 * np.std(scores) / np.sqrt(60) + 0.03)


def test_a_curve_a_tenth_of_a_decade_off_is_so_far_off():
    _, means = score.published(MMOE)
    losses = np.concatenate([np.full(5, 1.0), means])[None, :] * 10**0.1
    assert score.curve_distance(losses, MMOE) == pytest.approx(0.1)
    assert score.curve_distance(losses[:, :30], MMOE) == pytest.approx(0.1), "as far as the runs go"


def test_figure_4_says_nothing_before_step_500():
    losses = np.full((1, 6), 9.0)
    assert score.curve_distance(losses, MMOE) == pytest.approx(np.log10(9.0 / score.published(MMOE)[1][0]))


def test_wasserstein_distance_is_the_shift_of_a_shifted_histogram():
    of_paper = score.histogram("shared_bottom", 0.5)
    counts = np.rint(of_paper.shares * 200).astype(int)
    assert counts.sum() == 200
    for bins in (-2, 0, 3, 40):
        shifted = np.repeat(of_paper.middles, counts) + bins / 30
        assert of_paper.distance(shifted) == pytest.approx(abs(bins) / 30, abs=1e-9)


def test_runs_anywhere_in_the_papers_bins_have_no_distance_from_them():
    of_paper = score.histogram("mmoe", 1.0)
    counts = np.rint(of_paper.shares * 200).astype(int)
    within = np.random.default_rng(0).uniform(0.01, 0.99, 200) / 30
    assert of_paper.distance(np.repeat(of_paper.edges[:-1], counts) + within) == pytest.approx(0, abs=1e-12)


def test_what_the_readouts_read():
    windows, firsts = np.array([[4.0, 2.0, 3.0]]), np.array([[5.0, 1.0, np.nan]])
    losses = np.stack([windows, firsts])
    assert score.read(losses, PLAIN).tolist() == [[4, 2, 3]]
    assert score.read(losses, Readout(0.5, False, True)).tolist() == [[2, 1, 1]]
    assert score.read(losses, Readout(1.0, True, True)).tolist() == [[5, 1, 1]]
    assert score.read(losses, Readout(1.0, True, False))[0, 2] == 1e3, "a diverged run is far off, not left out"


def test_the_best_readout_is_the_one_that_made_the_curves():
    truth = {curve: replicate(curve, 0) for curve in CURVES}
    doubled = {curve: np.stack([2 * losses[0], np.ones_like(losses[0])]) for curve, losses in truth.items()}
    assert score.best_readout(doubled, READOUTS).factor == 0.5
    assert not score.best_readout(doubled, READOUTS).batch


def test_no_mean_curve_of_the_paper_rises():
    """The observation behind reading the lowest loss so far."""
    for curve in CURVES:
        assert (np.diff(score.published(curve)[1]) <= 0).all()


def test_the_held_out_correlation_is_not_scored():
    assert {curve.correlation for curve in CURVES} == {0.5, 1.0}
    assert len(CURVES) == 8
