"""What the forest says of effects that were planted."""

import numpy as np
import pandas as pd
import pytest

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
    assert (table.loc[["bias", "batch_size"], "importance"] < 0.03).all()
    assert table.loc["gain", "direction"] < -0.5
    assert np.isnan(table.loc["law", "direction"]) and table.loc["law", "best"] == "law 10"
    assert importance.best_pair(*planted, found) == ("gain", "law")


def test_noise_has_no_fit(planted):
    design, _ = planted
    found = importance.importances(design, pd.Series(np.random.default_rng(2).normal(size=len(design))))
    assert found.fit < 0.05
    assert (found.of_choices["importance"] < 0.1).all()


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
