"""What runs learnt of two tasks."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import swept_cell

from mmoe_repro.findings.joint_outcomes import joint_outcomes_table
from mmoe_repro.findings.verdicts import Judged
from mmoe_repro.runs.results import read_sweep

RESULTS = Path(__file__).parents[2] / "results"
CLAIMS = {"bad": 2}


def runs_of(identity, first, second):
    """Runs that end at 0.1, or badly at 1."""
    losses = np.where(np.stack([first, second], axis=1), 0.1, 1.0)
    count = len(losses)
    return pd.DataFrame(
        {
            "cell": identity,
            "seed": np.repeat(np.arange(count), 2),
            "task": np.tile([1, 2], count),
            "test_loss": losses.ravel(),
            "diverged": False,
        }
    )


def test_planted_outcomes_are_counted():
    cell = swept_cell(model="shared_bottom", correlation=1.0)
    first = np.array([True] * 60 + [False] * 40)
    second = np.array([True] * 50 + [False] * 10 + [True] * 15 + [False] * 25)
    table = joint_outcomes_table([Judged({}, [cell], [])], runs_of(cell.identity, first, second), CLAIMS)
    (row,) = table.to_dict("records")
    assert (row["runs"], row["both"], row["one"], row["none"]) == (100, 50, 25, 25)
    assert row["expected_one"] == pytest.approx(100 * (0.6 * 0.35 + 0.4 * 0.65))
    assert row["r"] == pytest.approx(np.corrcoef(first, second)[0, 1])
    assert row["p"] < 0.001


def test_runs_that_all_end_alike_have_no_correlation():
    cell = swept_cell(model="mmoe", correlation=0.5)
    ends = np.ones(20, bool)
    (row,) = joint_outcomes_table([Judged({}, [cell], [])], runs_of(cell.identity, ends, ends), CLAIMS).to_dict(
        "records"
    )
    assert (row["both"], row["one"], row["none"], row["expected_one"]) == (20, 0, 0, 0)
    assert np.isnan(row["r"]) and np.isnan(row["p"])


def test_other_models_have_no_row():
    cell = swept_cell(model="cgc", correlation=0.5)
    ends = np.ones(20, bool)
    assert joint_outcomes_table([Judged({}, [cell], [])], runs_of(cell.identity, ends, ends), CLAIMS).empty


def test_in_the_kept_results_towers_fail_one_by_one():
    """Shared-Bottom at correlation 1 in `results/figure4`: fewer runs learn exactly one than if independent."""
    swept = read_sweep(RESULTS / "figure4")
    judged = [Judged({}, list(swept.cells), [])]
    table = joint_outcomes_table(judged, swept.runs, CLAIMS).set_index("cell")
    cell = next(one for one in swept.cells if one.model.name == "shared_bottom" and one.data.correlation == 1)
    row = table.loc[cell.identity]
    assert row["both"] + row["one"] + row["none"] == row["runs"] == 200
    assert 0 < row["one"] < row["expected_one"] and row["r"] > 0.2 and row["p"] < 0.001
