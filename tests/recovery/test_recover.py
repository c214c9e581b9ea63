"""The command, from a search's table on."""

import json
import math
from dataclasses import replace

import pandas as pd
import pytest

from mmoe_repro.recovery import laws, recover, search
from mmoe_repro.recovery.laws import Fit
from mmoe_repro.recovery.score import CURVES, name

LAW = Fit(
    0.355633, (5.52533, 10.34351, 16.77470, 22.15881), (5.47239, 5.51439, 5.56293, 5.57188), 0.01, 2.46, 0.0011, 2.76
)
CHOICES = {
    **{"factor": 0.5, "plateau": 0.5, "law_from": "figure2", "law": 0, "initializer": "he_normal"},
    **{"examples": 1_000, "log2_batch_size": 0, "gain": 1.5, "bias": True},
}


@pytest.fixture
def searched(tmp_path, monkeypatch):
    """A folder with fitted laws and a search's table of three settings, and trainings of 600 steps."""
    results = tmp_path / "results/recovery"
    results.mkdir(parents=True)
    monkeypatch.setattr(laws, "TRIED", ((4, 0.01),))
    laws.laws_table([LAW]).to_csv(results / "laws.csv", index=False)
    measured = {
        "rates": json.dumps({name(curve): 0.01 for curve in CURVES}),
        "readout": json.dumps({"factor": 0.5, "batch": False, "lowest": True}),
        "distances": "{}",
    }
    rows = [
        {
            "trial": number,
            "state": state,
            "score": score,
            "score_1000": 2.0,
            "score_10000": score,
            **{f"choice_{key}": json.dumps(value) for key, value in {**CHOICES, "bias": bias}.items()},
            **measured,
        }
        for number, state, score, bias in (
            (0, "complete", 3.0, True),
            (1, "complete", 1.5, False),
            (2, "pruned", math.nan, True),
        )
    ]
    pd.DataFrame(rows).sort_values("score").to_csv(results / "search.csv", index=False)
    base = search.base

    def shorter(*arguments):
        settings = base(*arguments)
        return {**settings, "training": {**settings["training"], "steps": 600}}

    monkeypatch.setattr(search, "base", shorter)
    return results


def test_recover_goes_on_from_a_table_and_confirms_the_best(run, searched, monkeypatch):
    # The reference is the same setting, with Adam's default rate for Shared-Bottom at p = 1: few cells are its own.
    candidates = recover._candidates

    def remember(*arguments):
        (found,) = candidates(*arguments)
        rates = {**found.rates, CURVES[3]: 0.001}
        monkeypatch.setattr(recover, "reference", lambda: replace(found, name="figure2_m4", rates=rates))
        return [found]

    monkeypatch.setattr(recover, "_candidates", remember)
    arguments = ("recover", "trials=3", "confirmed=1", "runs=5", "workers=1")
    outcome = run(*arguments)
    assert outcome.status == 0, outcome.err
    confirmed = pd.read_csv(searched / "confirmed.csv")
    assert set(confirmed["name"]) == {"1", "figure2_m4"} and list(confirmed["runs"]) == [5, 5]
    assert confirmed["score"].iloc[0] > 1 and "figure5_mmoe_p1" in confirmed
    (setting,) = confirmed.loc[confirmed["name"] == "1", "setting"]
    assert json.loads(setting)["bias"] is False
    nearer = confirmed["name"].iloc[0] == "1"
    assert f"Setting 1 is {'nearer' if nearer else 'no nearer'} than figure2_m4" in outcome.out
    verdicts = pd.read_csv(searched / "verdicts.csv")
    assert set(verdicts["setting"]) == {1} and len(verdicts) == 9 and "untested" not in set(verdicts["verdict"])
    assert "The paper's claims at these settings" in outcome.out
    for figure in ("profiles", "curves", "histograms"):
        assert (searched / f"figures/{figure}.png").exists()
    assert (searched / "conf/experiment/recovery_figure3.yaml").exists()
    assert len(search.finished(search.open_study(searched / "search.db", 0))) == 3
    assert "Laws that give Figure 2" in outcome.out and "Best settings" in outcome.out

    before = (searched / "confirmed.csv").read_text()
    again = run(*arguments)
    assert again.status == 0 and "runs to confirm" not in again.err
    assert (searched / "confirmed.csv").read_text() == before


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("trials=0", "trials=0: must be at least 1"),
        ("name=a/b", "plain folder name"),
        ("trial=3", "did you mean 'trials'"),
    ],
)
def test_mistakes_are_refused_in_one_line(run, argument, told):
    outcome = run("recover", argument)
    assert outcome.status == 2
    assert told in outcome.err and outcome.err.count("\n") == 1
