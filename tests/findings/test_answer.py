"""The sentence at the end of a sweep, and the runs that settle what it leaves open."""

import numpy as np
import pandas as pd
import pytest

from mmoe_repro.findings.answer import answer, groups, runs_that_settle
from mmoe_repro.views.tables import answer_text


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("mmoe_repro.text._WIDEST", 200)


def verdicts(needed=np.nan, **of_claims):
    table = pd.DataFrame({"id": list(of_claims), "verdict": list(of_claims.values())})
    return table.assign(runs_needed=np.where(table["verdict"] == "inconclusive", needed, np.nan))


@pytest.mark.parametrize(
    ("of_claims", "says"),
    [
        (
            {"F2": "reproduced", "C1": "reproduced"},
            "Of the paper's 2 claims 2 hold here (F2, C1), none is contradicted.",
        ),
        (
            {"F2": "reproduced", "C1": "contradicted", "T1": "inconclusive"},
            "Of the paper's 3 claims 1 holds here (F2), 1 is contradicted (C1), 1 is open (T1).",
        ),
        (
            {"C1": "inconclusive", "C3": "inconclusive", "F3": "untested"},
            "Of the paper's 3 claims none holds here, none is contradicted, 2 are open (C1, C3), 1 is untested (F3).",
        ),
    ],
)
def test_a_sentence_counts_and_names_the_claims(of_claims, says):
    assert answer(verdicts(**of_claims)) == says


def test_runs_are_asked_for_in_tens_for_the_neediest_claim():
    table = pd.concat([verdicts(31, C1="inconclusive"), verdicts(112, T1="inconclusive"), verdicts(F2="reproduced")])
    assert runs_that_settle(table, 20) == (120, ["C1", "T1"])
    assert runs_that_settle(verdicts(F2="reproduced"), 20) is None


def test_claims_that_would_take_ever_more_are_left_out():
    table = pd.concat([verdicts(31, C1="inconclusive"), verdicts(19_283, T3="inconclusive")])
    assert runs_that_settle(table, 4) == (40, ["C1"])
    lines = answer_text(table, ["mmoe-repro", "sweep"], 1.0, 9, 4).splitlines()
    assert lines[1] == "What would settle C1, in about 5 minutes: mmoe-repro sweep runs=40"
    assert runs_that_settle(verdicts(1_500, T1="inconclusive"), 20) is None
    assert runs_that_settle(verdicts(1_500, T1="inconclusive"), 200) == (1500, ["T1"])


def test_the_command_that_settles_the_rest_is_exact():
    table = verdicts(95, F2="reproduced", C1="inconclusive", F3="untested")
    command = ["mmoe-repro", "sweep", "runs=20", "name=mine"]
    lines = answer_text(table, command, seconds=0.6, cells=9, runs=20).splitlines()
    assert lines[0].startswith("Of the paper's 3 claims 1 holds here (F2)")
    # 80 more runs of 9 cells at 0.6 s each.
    assert lines[1] == "What would settle the rest, in about 7 minutes: mmoe-repro sweep name=mine runs=100"
    assert lines[2] == "F3 is about Figure 3's network: mmoe-repro sweep experiment=recovered_figure3"


def test_without_an_estimate_twice_the_runs_are_offered():
    table = verdicts(F2="reproduced", C1="inconclusive")
    assert "mmoe-repro sweep runs=40" in answer_text(table, ["mmoe-repro", "sweep"], 1.0, 9, 20)


def test_an_effect_of_next_to_nothing_is_called_that():
    lines = answer_text(verdicts(50_000, T2="inconclusive"), ["mmoe-repro", "sweep"], 1.0, 9, 200)
    assert "ten times as many runs would hardly settle it" in lines and "mmoe-repro" not in lines


def test_a_claim_that_holds_leaves_nothing_to_settle():
    assert "settle" not in answer_text(verdicts(F2="reproduced", C1="reproduced"), ["mmoe-repro", "sweep"], 1.0, 9, 20)


def test_a_sweep_whose_runs_decide_nothing_says_nothing():
    several = pd.concat([verdicts(F2="reproduced", C1="untested").assign(data=law) for law in "ab"])
    assert answer(verdicts(F2="reproduced", C1="untested")) == answer(several[["data", "id", "verdict"]]) == ""


def test_of_several_settings_the_sentence_has_the_range():
    one = verdicts(F2="reproduced", C1="reproduced", C3="untested")
    other = verdicts(F2="reproduced", C1="contradicted", C3="untested")
    table = pd.concat([one.assign(**{"training.batch_size": 8}), other.assign(**{"training.batch_size": 64})])
    table = table[["training.batch_size", "id", "verdict", "runs_needed"]]
    assert [label for label, _ in groups(table)] == ["batch size 8", "batch size 64"]
    assert answer(table) == (
        "Of the paper's 3 claims 1 to 2 hold at each of 2 settings, 0 to 1 are contradicted, 1 is untested."
    )
