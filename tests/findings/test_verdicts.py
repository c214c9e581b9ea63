"""Verdicts of a sweep, from the user's side."""

import shlex

import pandas as pd
import pytest
from helpers import SMALL


@pytest.mark.slow
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
    cells = [f"{model} at {p}" for model in ("shared_bottom", "omoe", "mmoe") for p in ("0.5", "0.9", "1")]
    assert judged.at["C3", "missing"] == "; ".join(cells[:-3] + cells[-2:])
    small = "shared_bottom with model.bottom=[16]"
    assert judged.at["F3", "missing"] == f"{small} at 0.5; {small} at 0.9; {small} at 1"

    added = run(*command[1:])
    assert added.status == 0, added.err
    judged = pd.read_csv(tmp_path / "results/mine/verdicts.csv")
    assert list(judged.loc[judged["verdict"] == "untested", "id"]) == ["F3"], "which is about another network"
    assert "What adds the missing cells" not in added.out


def test_figure_3s_network_is_judged_by_f3_alone(run, tmp_path):
    small = ("model=shared_bottom", "model.bottom=[16]", "data.correlation=0.5,0.9,1")
    assert run("sweep", *small, *SMALL).status == 0
    judged = pd.read_csv(tmp_path / "results/sweep/verdicts.csv").set_index("id")
    tested = judged.index[judged["verdict"] != "untested"]
    assert list(tested) == ["F2", "F3"] and judged.at["F3", "part"].startswith("mean loss, Shared-Bottom (bottom 16)")
    assert judged.at["F3", "paper"] == pytest.approx(0.3967 / 0.2832, rel=1e-3)
    assert judged.at["F3", "confidence"] == 1 - 2 * 0.05 / 8 and judged.at["F3", "size"]


@pytest.mark.slow
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
        ("claims.C1.ratio=-1", "claims.C1.ratio=-1: must be a positive number"),
        ("claims.C2b.factor=much", "claims.C2b.factor=much: must be a number above 1"),
        ("claims.T9.ratio=2", "T9"),
    ],
)
def test_thresholds_are_settings_and_checked(run, argument, says):
    outcome = run("sweep", argument, *SMALL)
    assert outcome.status == 2
    assert says in outcome.err and outcome.err.count("\n") == 1


@pytest.mark.slow
def test_thresholds_do_not_make_other_cells(run, tmp_path):
    small = ("model=shared_bottom", "model.bottom=[16]", "data.correlation=0.5,0.9,1", *SMALL)
    assert run("sweep", *small).status == 0
    outcome = run("sweep", *small, "claims.F3.ratio=100")
    assert outcome.status == 0 and "runs " not in outcome.err
    judged = pd.read_csv(tmp_path / "results/sweep/verdicts.csv").set_index("id")
    assert judged.at["F3", "verdict"] == "contradicted" and judged.at["F3", "bound"] == pytest.approx(100)
