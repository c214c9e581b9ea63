import numpy as np
import pandas as pd
import pytest
from helpers import swept_cell

from mmoe_repro.findings.trainability import NEAR, changes_table, components, profile, ranges, trainability_table


def test_components_are_those_that_the_losses_were_made_of():
    generator = np.random.default_rng(0)
    found = []
    for _ in range(400):
        data, init = generator.normal(0, 3, 10), generator.normal(0, 1, 5)
        found.append(components(data[:, None] + init[None, :] + generator.normal(0, 2, (10, 5))))
    # Unbiased; the standard error of a mean of 400 estimates is a twentieth of their standard deviation.
    for estimates, expected in zip(np.array(found).T, (9, 1, 4), strict=True):
        assert abs(estimates.mean() - expected) < 4 * estimates.std() / 20


def test_components_of_one_cause_only():
    by_data = np.arange(4.0)[:, None] + np.zeros(3)
    assert components(by_data) == pytest.approx((by_data[:, 0].var(ddof=1), 0, 0))
    assert components(by_data.T) == pytest.approx((0, by_data[:, 0].var(ddof=1), 0))


def cell(model, rate, initializer, crossed=None):
    settings = {"initializer": initializer}
    swept = {"model.initializer": initializer}
    return swept_cell(model, rate=rate, settings=settings, swept=swept, seeds=range(6), crossed=crossed)


def runs_of(losses):
    frames = [
        pd.DataFrame({"cell": one.identity, "seed": range(len(values)), "task": 1, "final_loss": values})
        for one, values in losses
    ]
    table = pd.concat(frames, ignore_index=True)
    return table.assign(diverged=table["final_loss"].isna())


def test_a_range_is_compared_with_its_own_best():
    losses = [
        (cell("mmoe", 0.1, "a"), [1.0, 1.0, 1.0, 1.0]),
        (cell("mmoe", 0.1, "b"), [1.2, 1.2, 1.2, 1.2]),
        (cell("mmoe", 0.01, "a"), [1.0, 3.0, np.nan, 3.0]),
        (cell("omoe", 0.1, "a"), [9.0, 9.0, 9.0, 9.0]),
    ]
    cells, runs = [one for one, _ in losses], runs_of(losses)
    assert list(ranges(cells)) == [("mmoe", "law", 0.5)], "one setting is no range"
    (row,) = trainability_table(cells, runs).to_dict("records")
    assert (row["settings"], row["best"]) == (3, 1.0), "a setting with a diverged run is not the best"
    assert row["near_settings"] == pytest.approx(2 / 3) and row["near_runs"] == pytest.approx(9 / 12)
    of_mmoe = profile(cells[:3], runs)
    assert of_mmoe.within(NEAR) == pytest.approx(9 / 12) and of_mmoe.within([0.5, 3.0]) == pytest.approx([0, 11 / 12])
    assert np.isnan(row["sd_data"]), "not crossed"


def test_settings_weigh_alike_however_many_runs_they_have():
    losses = [(cell("mmoe", 0.1, "a"), [1.0] * 6), (cell("mmoe", 0.01, "a"), [9.0]), (cell("mmoe", 0.001, "a"), [9.0])]
    (row,) = trainability_table([one for one, _ in losses], runs_of(losses)).to_dict("records")
    assert row["near_runs"] == pytest.approx(1 / 3)


def test_laws_and_lengths_of_training_are_no_range():
    for key in ("data.noise_variance", "training.steps"):
        cells = [swept_cell("mmoe", swept={key: value}) for value in range(3)]
        assert not ranges(cells)


def test_a_law_without_a_correlation_has_ranges_too():
    cells = [swept_cell("mmoe", correlation=None, rate=rate) for rate in (0.1, 0.01, 0.001)]
    ((_, law, p),) = ranges(cells)
    assert law == "law" and np.isnan(p)


def test_settings_are_compared_with_the_first_in_pairs():
    seeds = np.random.default_rng(0).normal(0, 0.1, 40)
    losses = [
        (cell("mmoe", 0.1, "a"), 1 + seeds),
        (cell("mmoe", 0.1, "b"), 2 + 2 * seeds),
        (cell("mmoe", 0.01, "a"), 1 + seeds + np.random.default_rng(1).normal(0, 0.1, 40)),
    ]
    runs = runs_of(losses).assign(live_units=3.0)
    table = changes_table([one for one, _ in losses], runs.assign(test_loss=runs["final_loss"]))
    assert list(table.columns[:3]) == ["model", "learning_rate", "model.initializer"], (
        "what is all the same is left out"
    )
    assert list(table["mean"].iloc[:2]) == pytest.approx([1, 2]) and list(table["sd"].iloc[:2]) == pytest.approx([1, 2])
    # Pairs that differ by a factor leave no doubt; others do.
    assert np.isnan(table["sd_low"].iloc[1])
    last = table.iloc[2]
    assert last["sd_low"] < last["sd"] < last["sd_high"] and last["live_units"] == 3
    assert last["sd"] == pytest.approx(np.std(losses[2][1]) / np.std(losses[0][1]))
    assert changes_table([losses[0][0]], runs).empty


def test_causes_are_told_apart_at_the_best_rate():
    """Initialisers at 1 and 1.5, three data seeds .1 apart, two initial weights .02 apart; a worse rate beside."""
    base = np.add.outer([0.0, 0.1, 0.2], [0.0, 0.02]).ravel()
    losses = [(cell("mmoe", 0.1, name, 2), at + base) for name, at in (("a", 1.0), ("b", 1.5))]
    losses += [(cell("mmoe", 0.01, "a", 2), 5 + 3 * base)]
    (row,) = trainability_table([one for one, _ in losses], runs_of(losses)).to_dict("records")
    assert row["sd_setting"] == pytest.approx(np.sqrt(0.125 - 0.0002 / 2)), "less what initial weights do"
    assert row["sd_data"] == pytest.approx(0.1) and row["sd_init"] == pytest.approx(np.std([0, 0.02], ddof=1))
    assert row["sd_rest"] == pytest.approx(0, abs=1e-9)
