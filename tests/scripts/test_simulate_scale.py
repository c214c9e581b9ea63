"""Made-up chunks are planned, listed and merged as trained ones are."""

import runpy
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]


def test_what_is_made_up_is_found_and_put_together(tmp_path):
    script = runpy.run_path(str(ROOT / "scripts" / "simulate_scale.py"))
    size = (tmp_path, 2, 40)
    script["make"](*size)
    assert "20 runs are missing" in script["plan"](*size)
    assert script["listing"](*size) == "8 files in 2 folders", "a record for each cell, and six chunks"
    assert f"{60 * 2 * 100:,} rows of curves, 20 runs are missing" in script["merging"](*size)
    assert len(pd.read_parquet(tmp_path / "runs.parquet")) == 60 * 2
    assert pq.read_metadata(tmp_path / "curves.parquet").num_row_groups == 2, "a cell is in memory at a time"
