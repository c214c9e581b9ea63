"""Verdicts of a sweep, from the user's side."""

import shlex

import pandas as pd
import pytest
from conftest import SMALL


def test_a_sweep_that_lacks_cells_says_what_adds_them(run, tmp_path):
    by_rate = 'seed="${by:${training.learning_rate},{0.01:3},5}"'  # a shell would take the dollar signs for its own
    outcome = run("sweep", "model=mmoe", "data.correlation=0.5", *SMALL, by_rate, "name=mine")
    assert outcome.status == 0, outcome.err
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("The paper's claims are untested")]
    command = shlex.split(line.partition(": ")[2])
    assert command[:2] == ["mmoe-repro", "sweep"]
    assert {by_rate, "name=mine", "model=shared_bottom,omoe,mmoe", "data.correlation=0.5,0.9,1"} <= set(command)
    judged = pd.read_csv(tmp_path / "results/mine/verdicts.csv").set_index("id")
    assert set(judged["verdict"]) == {"untested"}
    assert judged.at["F3", "missing"] == "shared_bottom at 0.5; shared_bottom at 0.9; shared_bottom at 1"

    added = run(*command[1:])
    assert added.status == 0, added.err
    assert "untested" not in set(pd.read_csv(tmp_path / "results/mine/verdicts.csv")["verdict"])


def test_laws_are_judged_apart(run, tmp_path):
    outcome = run("sweep", "data=linear,figure2_m4", "model=shared_bottom", "data.correlation=0.5,0.9,1", *SMALL)
    assert outcome.status == 0, outcome.err
    judged = pd.read_csv(tmp_path / "results/sweep/verdicts.csv")
    assert list(judged["data"].unique()) == ["linear", "figure2_m4"]
    by_law = judged[judged["id"] == "F2"].set_index("data")
    assert set(by_law["verdict"]) == {"reproduced"}
    # Of a linear law the label correlation is p itself, but for the noise of variance 0.01 beside 1.
    assert by_law.at["linear", "effect"] == pytest.approx(0.1 / 1.01)


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("claims.level=2", "claims.level=2: must be between 0 and 1"),
        ("claims.T1.ratio=-1", "claims.T1.ratio=-1: must be a positive number"),
        ("claims.C2b.margin=much", "claims.C2b.margin=much: must be a number, at least 1"),
        ("claims.T9.ratio=2", "T9"),
    ],
)
def test_thresholds_are_settings_and_checked(run, argument, says):
    outcome = run("sweep", argument, *SMALL)
    assert outcome.status == 2
    assert says in outcome.err and outcome.err.count("\n") == 1


def test_thresholds_do_not_make_other_cells(run, tmp_path):
    small = ("model=shared_bottom", "data.correlation=0.5,0.9,1", *SMALL)
    assert run("sweep", *small).status == 0
    outcome = run("sweep", *small, "claims.F3.ratio=100")
    assert outcome.status == 0 and "runs " not in outcome.err
    judged = pd.read_csv(tmp_path / "results/sweep/verdicts.csv").set_index("id")
    assert judged.at["F3", "verdict"] == "contradicted" and judged.at["F3", "bound"] == pytest.approx(100)
