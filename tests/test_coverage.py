import numpy as np
import pytest
import yaml

from mmoe_repro import coverage
from mmoe_repro.claims import PARTS
from mmoe_repro.config import folder
from mmoe_repro.statistics import contrast, log_ratio_of_means, log_ratio_of_sds

CLAIMS = yaml.safe_load((folder() / "claims" / "paper.yaml").read_text())


def test_every_interval_of_a_claim_was_measured():
    kinds = {part.interval for name, parts in PARTS.items() for part in parts(CLAIMS[name])}
    assert all(0 < coverage.least(kind, 200) <= 1 for kind in {*kinds, "mean", "sd"})
    assert np.isnan(coverage.least("of another kind", 200))


def test_the_largest_measured_size_up_to_the_runs_counts():
    assert coverage.least("mean", 59) == coverage.least("mean", 20) == coverage.least("mean", 5)
    assert coverage.least("ratio of bests", 10_000) == coverage.least("ratio of bests", 200)
    assert coverage.least("sd", 20) < coverage.least("sd", 200), "of a skewed distribution"


@pytest.mark.parametrize(
    ("kind", "quantity"), [("ratio of means", log_ratio_of_means), ("ratio of sds", log_ratio_of_sds)]
)
def test_the_table_is_found_again(kind, quantity):
    """150 of its 300 trials' kind on twenty normal losses; both shares have an error."""
    table = coverage._measured()
    ((share, error),) = table.loc[
        (table["interval"] == kind) & (table["distribution"] == "normal") & (table["runs"] == 20), ["coverage", "error"]
    ].to_numpy()
    generator, held = np.random.default_rng(0), []
    for _ in range(150):
        found = contrast(generator.normal(0.1, 0.02, (2, 20)), quantity, 0.0)
        held.append(found.low <= 0 <= found.high)
    assert abs(np.mean(held) - share) < 4 * np.hypot(error, np.sqrt(share * (1 - share) / 150))
