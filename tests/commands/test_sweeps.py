"""Sweeps listed and compared."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import SMALL

GRID = ("model=mmoe", "data.correlation=0.5,1")


@pytest.fixture
def two(run):
    assert run("sweep", *GRID, *SMALL, "name=one", "runs=10").status == 0
    assert run("sweep", *GRID, *SMALL, "name=other", "runs=10", "training.learning_rate=0.02").status == 0


@pytest.mark.slow
def test_two_sweeps_are_listed_and_compared(run, two, tmp_path):
    listed = run("list")
    assert listed.status == 0
    rows = [line.split() for line in listed.out.splitlines()[2:] if line]
    assert [(row[0], row[3], row[4]) for row in rows] == [("one", "2", "20"), ("other", "2", "20")]
    assert "not about the paper's claims" in listed.out

    compared = run("compare", "results/one", "results/other")
    assert compared.status == 0, compared.err
    lines = compared.out.splitlines()
    (differs,) = [line for line in lines if "learning_rate" in line]
    assert differs.split() == ["training.learning_rate", "0.01", "0.02"]
    assert sum(line.startswith(("training.", "data.", "mmoe.")) for line in lines) == 1, "nothing else differs"

    means = [
        pd.read_parquet(tmp_path / f"results/{name}/runs.parquet").query("task == 1 and correlation == 0.5")[
            "final_loss"
        ]
        for name in ("one", "other")
    ]
    (row,) = [line.split() for line in lines if line.split()[:2] == ["mmoe", "0.5"]]
    assert row[2:5] == [f"{means[0].mean():.4f}", f"{means[1].mean():.4f}", f"{means[1].mean() / means[0].mean():.3f}"]
    assert row[-1] == "10", "runs of the same seed are paired"
    # The paired interval by the delta method, which ten runs leave a third of room.
    low, high = float(row[5]), float(row[7])
    first, second = (mean.to_numpy() for mean in means)
    error = np.std(second - second.mean() / first.mean() * first, ddof=1) / first.mean() / np.sqrt(10)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.35)

    same = run("compare", "results/one", "results/one")
    assert "All settings are the same." in same.out and "1.000 – 1.000" in same.out


def test_a_comparison_fits_the_terminal_whatever_the_settings_are(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    results = Path(__file__).parents[2] / "results"
    lines = run("compare", str(results / "figure4"), str(results / "recovery/figure4")).out.splitlines()
    assert any(line.endswith("…") for line in lines), "lists of numbers are cut"
    assert max(len(line) for line in lines if str(results) not in line) <= 80


def test_a_sweep_that_is_named_itself_is_listed_by_its_name(run):
    results = Path(__file__).parents[2] / "results/figure4"
    assert run("list", str(results)).out.splitlines()[2].startswith("figure4 ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("list", "nowhere"), "nowhere: there is no such folder"),
        (("list", "a", "b"), "takes one folder"),
        (("compare", "results/one"), "takes two folders"),
        (("compare", "a", "b"), "a: there is no such folder"),
    ],
)
def test_mistakes_are_refused_in_one_line(run, arguments, says):
    outcome = run(*arguments)
    assert outcome.status == 2 and says in outcome.err and outcome.err.count("\n") == 1
