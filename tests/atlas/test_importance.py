"""What tests and the forest say of effects that were planted."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmoe_repro.atlas import importance
from mmoe_repro.findings.statistics import wilson


@pytest.fixture(scope="module")
def planted():
    """A margin that hangs on `gain` (which lowers it), on `law`, and on nothing else; noise is a fifth of it."""
    generator = np.random.default_rng(1)
    count = 240
    design = pd.DataFrame(
        {
            "gain": generator.uniform(0, 1, count),
            "law": generator.choice(["law 1", "law 2", "law 10"], count),
            "bias": generator.choice(["True", "False"], count),
            "batch_size": generator.choice(["16", "64", "128"], count),
        }
    )
    effect = -2 * design["gain"] + 0.8 * (design["law"] == "law 10")
    return design, effect + 0.6 + generator.normal(0, 0.3, count)


def test_the_planted_choices_are_found_with_their_signs(planted):
    found = importance.importances(*planted)
    table = found.of_choices
    assert found.fit > 0.6
    assert list(table["importance"].nlargest(2).index) == ["gain", "law"]
    assert (table.loc[["bias", "batch_size"], "importance"] < 0.02).all()
    # Closed forms: -2 U has the variance 4 / 12, 0.8 of a third 0.64 × 2 / 9, the noise 0.09.
    variance = 4 / 12 + 0.64 * 2 / 9 + 0.09
    assert table.loc["gain", "importance"] == pytest.approx(4 / 12 / variance, abs=0.1)
    assert table.loc["law", "importance"] == pytest.approx(0.64 * 2 / 9 / variance, abs=0.1)
    assert importance.best_pair(*planted, found) == ("gain", "law")


def test_noise_has_no_fit(planted):
    design, _ = planted
    found = importance.importances(design, pd.Series(np.random.default_rng(2).normal(size=len(design))))
    assert found.fit < 0.05
    assert (found.of_choices["importance"].abs() < 0.1).all()


def test_where_a_planted_effect_holds_is_found_with_its_sign(planted):
    design, margin = planted
    table = importance.where(design, margin > 0)
    assert (table.loc[["gain", "law"], "p"] < 1e-3).all() and (table.loc[["bias", "batch_size"], "p"] > 0.05).all()
    assert table.loc["gain", "direction"] < -0.5 and table.loc["gain", "best"].startswith("0.00")
    assert np.isnan(table.loc["law", "direction"]) and table.loc["law", "best"] == "law 10"


def test_the_p_value_of_two_values_is_fishers():
    """With two values, as large a chi-squared is Fisher's exact test, two-sided, of two groups of equal size."""
    holds = pd.Series([True] * 9 + [False] * 31)
    design = pd.DataFrame({"bias": ["True"] * 8 + ["False"] + ["True"] * 12 + ["False"] * 19})
    exact = stats.fisher_exact(pd.crosstab(design["bias"], holds).to_numpy()).pvalue
    p = importance.where(design, holds)["p"].iloc[0]
    assert p == pytest.approx(exact, abs=4 * np.sqrt(exact / 99_999))


def test_of_choices_that_do_not_matter_one_in_twenty_has_a_small_p():
    """Of 400 tests, 20 ± 4.4 are below 0.05, and fewer as p-values of counts are conservative."""
    generator = np.random.default_rng(5)
    design = pd.DataFrame({f"choice {i}": generator.choice(["a", "b", "c"], 120) for i in range(400)})
    p = importance.where(design, pd.Series(generator.random(120) < 0.1))["p"]
    assert 4 <= (p < 0.05).sum() <= 33


def test_claims_that_hold_always_hang_on_nothing(planted):
    design, margin = planted
    table = importance.where(design, margin > -np.inf)
    assert (table["p"] == 1).all() and table["direction"].isna().all()


def test_narrow_ranges_have_parts_of_their_own():
    values = pd.Series(np.linspace(0.9991, 1.0009, 40))
    assert importance.parts(values).value_counts().tolist() == [10] * 4


@pytest.mark.slow
def test_settings_without_a_margin_are_left_out(planted):
    design, margin = planted
    some = margin.where(design["bias"] == "True")
    kept = importance.importances(design[design["bias"] == "True"], margin[design["bias"] == "True"])
    assert importance.importances(design, some).fit == pytest.approx(kept.fit)


def test_shares_are_counts_in_the_order_of_the_values(planted):
    design, margin = planted
    table = importance.shares(design, margin > 0)
    assert list(table.loc[table["choice"] == "law", "value"]) == ["law 1", "law 2", "law 10"]
    assert list(table.loc[table["choice"] == "batch_size", "value"]) == ["16", "64", "128"]
    row = table[(table["choice"] == "law") & (table["value"] == "law 10")].iloc[0]
    mine = (margin > 0)[design["law"] == "law 10"]
    assert (row["settings"], row["holds"]) == (len(mine), mine.sum())
    assert (row["low"], row["high"]) == wilson(int(mine.sum()), len(mine), 1.96)
    gain = table[table["choice"] == "gain"]
    assert len(gain) == importance.BINS and gain["settings"].tolist() == [60] * 4
    assert gain["share"].is_monotonic_decreasing


def test_pairs_count_both(planted):
    design, margin = planted
    table = importance.pair(design, margin > 0, ("gain", "law"))
    assert len(table) == 12 and table["settings"].sum() == len(design)
    assert table["holds"].sum() == (margin > 0).sum()
