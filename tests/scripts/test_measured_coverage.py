"""What the committed tables of coverage were measured by still runs, and gives what they hold."""

import runpy
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
COVERAGE = runpy.run_path(str(ROOT / "scripts" / "coverage.py"))


@pytest.mark.parametrize(
    ("table", "job", "committed"),
    [
        ("coverage", ("exponential", 60), "mmoe_repro/findings/interval_coverage.csv"),
        ("size", ("C3", "exponential", 20), "results/coverage/size.csv"),
        ("power", (20,), "results/coverage/power.csv"),
    ],
)
def test_a_table_is_measured_as_it_was_committed(table, job, committed):
    rows = pd.DataFrame(COVERAGE[table](job, share=0.005))
    measured = COVERAGE["pooled"](rows) if table == "coverage" else rows
    stored = pd.read_csv(ROOT / committed)
    assert list(measured.columns) == list(stored.columns)
    named = [column for column in ("interval", "claim", "distribution", "runs") if column in measured]
    assert set(measured[named].itertuples(index=False)) <= set(stored[named].itertuples(index=False))
