"""Sentences about a sweep: said where the runs are sure of them, and not elsewhere."""

import numpy as np
import pytest
import yaml
from helpers import made_up_sweep, swept_cell

from mmoe_repro.findings.headlines import heaps
from mmoe_repro.findings.sweep_findings import find
from mmoe_repro.settings.schema import folder

CLAIMS = yaml.safe_load((folder() / "claims/paper.yaml").read_text())
NORMAL = np.random.default_rng(0).normal(size=60)
THREE = np.repeat([0.1, 0.3, 0.45], 20) + 0.004 * NORMAL


def said(means, runs=60, spread=0.005, **columns):
    """Headlines of models at 0.5 and 1 by their means there, or by the losses of all of their runs."""
    cells = [swept_cell(model, correlation=p, settings={"tower": 8}) for model in means for p in (0.5, 1.0)]
    losses = [mean + spread * NORMAL[:runs] if np.isscalar(mean) else mean for of in means.values() for mean in of]
    return find(made_up_sweep(cells, losses, **columns), CLAIMS).headlines


def test_a_model_that_surely_ends_lowest_is_named():
    found = said({"shared_bottom": (0.3, 0.2), "mmoe": (0.2, 0.1)})
    assert found["curves"] == found["correlation"] == "MMoE ends lowest on average at every task correlation"
    found = said({"shared_bottom": (0.3, 0.1), "mmoe": (0.2, 0.1)})
    assert found["curves"] == "MMoE ends lowest on average at task correlation 0.5"
    assert "curves" not in said({"shared_bottom": (0.3, 0.1), "mmoe": (0.3, 0.1)}), "no sure difference"
    assert "curves" not in said({"mmoe": (0.3, 0.1)}), "nothing to compare with"
    found = said({"shared_bottom": (0.3, 0.3), "omoe": (0.2, 0.2), "mmoe": (0.2, 0.2)})
    assert found["curves"] == "Shared-Bottom ends highest on average at every task correlation"


def test_a_model_whose_losses_spread_most_is_named():
    found = said({"shared_bottom": (THREE, THREE), "mmoe": (0.2, 0.1)})
    assert found["spread"] == "Shared-Bottom varies most between runs at every task correlation"
    assert "spread" not in said({"shared_bottom": (0.3, 0.3), "mmoe": (0.2, 0.1)})


def test_heaps_are_counted():
    assert said({"shared_bottom": (THREE, THREE), "mmoe": (0.2, 0.1)})["histograms"] == (
        "Shared-Bottom's runs end in three heaps"
    )
    two = np.repeat([0.1, 0.4], 30) + 0.004 * NORMAL
    assert said({"mmoe": (THREE, two)})["histograms"] == "MMoE's runs end in two heaps or more"
    assert "histograms" not in said({"mmoe": (THREE, 0.2)}), "at one correlation only"


@pytest.mark.parametrize("losses", [NORMAL, np.zeros(60), np.append(np.zeros(59), 1.0), NORMAL[:3]])
def test_a_single_heap_with_strays_is_one(losses):
    assert heaps(losses) == 1


def test_live_units_that_go_with_losses_are_told():
    assert "live_units" not in said({"mmoe": (0.3, 0.2)}, dead_units=0.5), "they do not vary"


def test_nothing_is_said_of_one_run_or_of_several_settings():
    assert not said({"shared_bottom": (0.3, 0.2), "mmoe": (0.2, 0.1)}, runs=1)
    cells = [swept_cell(m, settings={"a": v}, swept={"model.a": v}) for m in ("omoe", "mmoe") for v in (1, 2)]
    assert not find(made_up_sweep(cells, [value + 0.001 * NORMAL for value in (0.1, 0.2, 0.3, 0.4)]), CLAIMS).headlines
