"""Distances of stored sweeps from the paper, from the files that a sweep leaves."""

import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[2]


def test_a_row_for_every_cell_of_a_committed_sweep():
    results = ROOT / "results" / "figure4"
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "distance.py", results, "--lowest"],
        capture_output=True,
        text=True,
        timeout=240,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    header, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines())
    cells = pd.read_csv(results / "losses.csv").drop_duplicates(["model", "correlation"])
    table = pd.DataFrame(rows, columns=header)
    assert set(zip(table["model"], table["p"], strict=True)) == {
        (row.model, f"{row.correlation:g}") for row in cells.itertuples()
    }
    # Nothing of the paper's is known at the correlation that is held out.
    assert (table.query("p == '0.9'")["paper"] == "–").all() and (table.query("p != '0.9'")["W1"] != "–").all()
