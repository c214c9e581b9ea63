from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from mmoe_repro.findings import interval_coverage
from mmoe_repro.findings.claim_comparisons import PARTS
from mmoe_repro.findings.statistics import Means, Shares
from mmoe_repro.settings.schema import folder

CLAIMS = yaml.safe_load((folder() / "claims" / "paper.yaml").read_text())
MEASURED = Path(__file__).parents[2] / "results" / "coverage"


def test_every_interval_of_a_claim_was_measured_at_its_level():
    kinds = {part.interval for name, parts in PARTS.items() for part in parts(CLAIMS[name], 1.0)}
    assert all(0 < interval_coverage.least(kind, 200) <= 1 for kind in {*kinds, "mean", "sd"})
    for kind in kinds:
        assert interval_coverage._of(kind)["confidence"].unique() == 1 - 2 * CLAIMS["level"] / len(PARTS)
        assert interval_coverage.enough(kind) == pytest.approx(0.98)
    assert interval_coverage.enough("mean") == interval_coverage.ENOUGH
    assert np.isnan(interval_coverage.least("of another kind", 200))


def test_the_largest_measured_size_up_to_the_runs_counts():
    assert (
        interval_coverage.least("mean", 59) == interval_coverage.least("mean", 20) == interval_coverage.least("mean", 5)
    )
    assert interval_coverage.least("difference of shares", 10_000) == interval_coverage.least(
        "difference of shares", 200
    )
    assert interval_coverage.least("sd", 20) < interval_coverage.least("sd", 200), "of a skewed distribution"


def test_runs_that_rarely_fail_are_pooled():
    table = interval_coverage._measured()
    rare = table[table["distribution"].str.endswith("% fail")]
    pooled = table[table["distribution"].str.endswith("pooled")].set_index(["interval", "confidence", "runs"])
    means = rare.groupby(["interval", "confidence", "runs"])["coverage"].mean()
    assert rare["distribution"].nunique() == 4 and len(pooled) == len(means)
    pd.testing.assert_series_equal(pooled["coverage"].sort_index(), means, atol=2e-4)


def normal(generator):
    return generator.normal(0.1, 0.02, (2, 20))


@pytest.mark.parametrize(
    ("kind", "measure"),
    [
        ("ratio of means", lambda losses: Means(losses, np.array([1, -1]), logs=True)),
        ("difference of shares", lambda losses: Shares(*(losses > np.quantile(losses, 0.1, axis=1)[:, None] + 0.2))),
    ],
)
def test_the_table_is_found_again(kind, measure):
    """150 of its 600 trials' kind on twenty normal losses, at 95 %; both shares have an error."""
    table = interval_coverage._measured()
    ((share, error),) = table.loc[
        (table["interval"] == kind)
        & (table["distribution"] == "normal")
        & (table["runs"] == 20)
        & (table["confidence"] == 0.95),
        ["coverage", "error"],
    ].to_numpy()
    generator, held = np.random.default_rng(0), []
    for _ in range(150):
        found = measure(normal(generator))
        held.append(found.lower(0.025) <= 0 <= found.upper(0.025))
    assert abs(np.mean(held) - share) < 4 * np.hypot(error, np.sqrt(share * (1 - share) / 150))


def test_verdicts_are_rarely_wrong_with_200_runs():
    """The level is 0.625 % of a side; four Monte Carlo errors above 5 %, what is allowed of all claims together."""
    size = pd.read_csv(MEASURED / "size.csv").query("runs == 200")
    assert set(size["claim"]) == set(PARTS)
    for wrong in ("reproduced", "contradicted"):
        assert (size[wrong] <= 0.05 + 4 * size[f"{wrong}_error"]).all()


def test_no_replica_of_the_paper_is_said_to_contradict_it():
    power = pd.read_csv(MEASURED / "power.csv")
    assert set(power["claim"]) == set(PARTS) and {20, 40, 60, 200} <= set(power["runs"])
    assert power["contradicted"].max() < 0.01
