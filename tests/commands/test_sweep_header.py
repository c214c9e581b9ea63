"""What a sweep says before it works, and a dry run, which does no more than that."""

import pandas as pd
import pytest
from helpers import cell_of

GRID = ("model=mmoe", "data.correlation=0.5,1", "runs=25", "workers=2")


def stored(folder, *overrides, seconds=60.0):
    """A finished chunk of ten runs that each took so long."""
    cell = folder / "results/sweep/cells" / cell_of(*overrides).identity
    cell.mkdir(parents=True)
    pd.DataFrame({"seed": range(10), "seconds": seconds}).to_parquet(cell / "runs-0000000-0000009-0123abcd.parquet")


def test_a_dry_run_shows_the_grid_and_does_nothing(run, tmp_path):
    outcome = run("sweep", *GRID, "--dry-run")
    assert outcome.status == 0 and outcome.err == ""
    assert [line.split() for line in outcome.out.splitlines() if line.startswith("mmoe")] == [
        ["mmoe", "0.5", "25", "0"],
        ["mmoe", "1.0", "25", "0"],
    ]
    assert "Sweep    2 cells, 50 runs: none stored, 50 to train in 2 processes\n" in outcome.out
    assert "Time" not in outcome.out, "nothing tells"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_time_is_told_by_stored_runs_of_the_same_models(run, tmp_path):
    stored(tmp_path, "model=mmoe", "data.correlation=0.5")
    lines = run("sweep", *GRID, "--dry-run").out.splitlines()
    assert ["mmoe", "0.5", "25", "10"] in [line.split() for line in lines]
    assert "Sweep    2 cells, 50 runs: 10 stored, 40 to train in 2 processes" in lines
    # Runs are trained in tens: 20 more at 0.5 and 30 at 1, of a minute each, by two processes.
    assert "Time     about 25 minutes, by what stored runs of the same models took" in lines
    for more in (("model=mmoe,omoe",), ("training.batch_size=32",)):
        assert "Time" not in run("sweep", *GRID, *more, "--dry-run").out


def test_nothing_to_train_is_said(run, tmp_path):
    stored(tmp_path, "model=mmoe", "data.correlation=0.5")
    lines = run("sweep", "model=mmoe", "data.correlation=0.5", "runs=10", "--dry-run").out.splitlines()
    assert "Sweep    1 cell, 10 runs: all stored" in lines and not any(line.startswith("Time") for line in lines)


def test_only_the_chosen_rates_get_their_runs(run):
    rates = ("training.learning_rate=0.1,0.01", "tuning_runs=10", "report_rates=chosen")
    assert "4 cells, 140 runs: none stored, at most 140 to train" in run("sweep", *GRID, *rates, "--dry-run").out
