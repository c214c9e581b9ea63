"""Laws fitted to Figure 2."""

import math

import numpy as np
import pytest
import torch

from mmoe_repro import paper
from mmoe_repro.recovery import laws
from mmoe_repro.recovery.laws import Fit
from mmoe_repro.runs.files import read_table

PLANTED = Fit(0.7, (2.0, 5.0), (1.0, 4.0), 0.01, 0.0, 0.0, 1.0)


@pytest.fixture
def planted_figure2(monkeypatch):
    """A Figure 2 that a known law with two sines made."""
    table = paper.table("figure2").copy()
    table["label_pearson_mean"] = [PLANTED.at(p).label_pearson for p in table["weight_cosine"]]
    monkeypatch.setattr(paper, "table", lambda name: table)
    return table


@pytest.mark.slow
def test_a_planted_law_is_found(planted_figure2):
    best = min((laws.fit(2, 0.01, start) for start in range(12)), key=lambda one: one.misfit)
    assert best.misfit < 1e-6
    for p in (-0.5, 0.2, 0.99):
        assert best.at(p).label_pearson == pytest.approx(PLANTED.at(p).label_pearson, abs=1e-4)


@pytest.mark.slow
def test_too_few_sines_cannot_give_a_planted_law(planted_figure2):
    assert min(laws.fit(1, 0.01, start).misfit for start in range(6)) > 100


def test_a_fit_tells_its_own_misfit():
    found = laws.fit(4, 0.01, 0)
    table = paper.table("figure2")
    pearson = np.array([found.at(p).label_pearson for p in table["weight_cosine"]])
    deviation = pearson - table["label_pearson_mean"]
    # By hand: a mean of 100 trials whose two sd are read, and a reading error uniform within 0.0005.
    variance = (table["label_pearson_2sd"] / 20) ** 2 + 0.0005**2 / 3
    assert found.misfit == pytest.approx((deviation**2 / variance).sum(), rel=1e-6)
    assert found.worst == pytest.approx(deviation.abs().max(), rel=1e-6)
    assert found.raw_variance == pytest.approx(found.at(1.0).raw_variance)


@pytest.mark.slow
def test_figure_2_rules_out_one_sine_and_allows_four():
    assert not laws.fit(1, 0.01, 0).plausible
    four = min((laws.fit(4, 0.01, start) for start in range(3)), key=lambda one: one.misfit)
    assert four.misfit_p > 0.5 and four.worst < 0.002


def test_the_bars_rule_out_noise_of_sd_001():
    # Five sines that cancel almost, so that so little noise can leave a correlation of 0.9965 at p = 1.
    cancelling = Fit(
        0.541,
        tuple(f / 0.541 for f in (0.59, 2.70, 2.85, 6.77, 6.93)),
        (3.0, 5.12, 1.94, 1.52, 4.66),
        0.0001,
        0.0,
        0.0,
        0.0,
    )
    assert cancelling.at(1.0).raw_variance < 0.1
    assert cancelling.spread_p < 1e-6


def test_gradients_are_those_of_finite_differences():
    correlations = torch.tensor([0.4, 0.9, 1.0], dtype=torch.float64)
    unknowns = torch.tensor([0.6, 2.0, 5.0, 1.0, 4.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: laws.pearson(values, correlations, 0.01), (unknowns,))


def test_mirrored_laws_are_not_distinct():
    one = Fit(0.5, (2.0, 7.0), (0.3, 1.0), 0.01, 1.0, 0.0, 1.0)
    # y(−z) with its sign turned: a network does not see the difference.
    mirrored = Fit(0.5, (2.0, 7.0), (-0.3, -1.0), 0.01, 2.0, 0.0, 1.0)
    other = Fit(0.5, (2.0, 7.0), (0.3 + math.pi / 2, 1.0), 0.01, 3.0, 0.0, 1.0)
    assert laws.distinct([mirrored, one], 3) == [one]
    assert laws.distinct([mirrored, one, other], 3) == [one, other]
    assert laws.distinct([mirrored, one, other], 1) == [one]
    assert laws.distinct([], 3) == []


@pytest.mark.slow
def test_the_table_keeps_the_laws(tmp_path):
    fits = [laws.fit(sines, 0.01, start) for sines in (1, 4) for start in range(3)]
    table = laws.laws_table(fits)
    table.to_csv(tmp_path / "laws.csv", index=False)
    kept = laws.kept(read_table(tmp_path / "laws.csv", ()))
    assert kept == laws.distinct([one for one in fits[3:] if one.plausible], laws.KEPT)
    assert kept and table["plausible"].sum() >= len(kept)
