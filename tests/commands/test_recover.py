"""The command, from a search's table on."""

import json
import math
import os
import signal
import sqlite3
import subprocess
import time
from dataclasses import replace

import pandas as pd
import pytest
from optuna.trial import TrialState

from mmoe_repro.commands import recover
from mmoe_repro.recovery import candidate as answer
from mmoe_repro.recovery import laws, search, search_space
from mmoe_repro.recovery.laws import Fit

LAW = Fit(
    0.355633, (5.52533, 10.34351, 16.77470, 22.15881), (5.47239, 5.51439, 5.56293, 5.57188), 0.01, 2.46, 0.0011, 2.76
)
CHOICES = {
    **{"factor": 0.5, "plateau": 0.5, "law": 0, "initializer": "he_normal", "learning_rate": 0.01},
    **{"examples": "finite", "log10_examples": 4.0, "log2_batch_size": 4},
    **{"gain": 1.5, "output_gain": 2.0, "gate_gain": 1.0, "bias": True},
}


@pytest.fixture
def searched(tmp_path, monkeypatch):
    """A folder with fitted laws and a search's table of three settings, and trainings of 600 steps."""
    results = tmp_path / "results/recovery"
    results.mkdir(parents=True)
    monkeypatch.setattr(laws, "TRIED", ((4, 0.01),))
    laws.laws_table([LAW]).to_csv(results / "laws.csv", index=False)
    measured = {
        "means": "{}",
        "readout": json.dumps({"factor": 0.5, "batch": False, "lowest": True}),
        "distances": "{}",
    }
    rows = [
        {
            "trial": number,
            "state": state,
            "score": score,
            "score_1": 2.0,
            "score_2": 1.8,
            "score_3": score,
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
    base = search_space.base

    def shorter(*arguments):
        cell = base(*arguments)
        return replace(cell, training=replace(cell.training, steps=600))

    monkeypatch.setattr(search_space, "base", shorter)
    return results


@pytest.mark.slow
def test_recover_goes_on_from_a_table_and_confirms_the_best(run, searched, monkeypatch):
    # The reference is the same setting, with another rate for Figure 3: few cells are its own.
    candidates = recover._candidates

    def remember(*arguments):
        (found,) = candidates(*arguments)
        figure3 = replace(found.figure3, learning_rate=0.003)
        monkeypatch.setattr(recover, "reference", lambda: replace(found, name="figure2_m4", figure3=figure3))
        return [found]

    monkeypatch.setattr(recover, "_candidates", remember)
    monkeypatch.setattr(recover, "_MORE_RUNS", 1)
    monkeypatch.setattr(answer, "FIGURE3_BATCHES", (8,))
    arguments = ("recover", "trials=3", "refined=4", "confirmed=1", "runs=5", "workers=1")
    outcome = run(*arguments)
    assert outcome.status == 0, outcome.err
    refined = pd.read_csv(searched / "refined.csv")
    assert set(refined["setting"]) == {0, 1} and refined["score"].is_monotonic_increasing
    assert set(refined["runs"]) == {10}, "as many as in the search, times _MORE_RUNS"
    best = str(refined["setting"].iloc[0])
    confirmed = pd.read_csv(searched / "confirmed.csv")
    assert set(confirmed["name"]) == {best, "figure2_m4"} and list(confirmed["runs"]) == [5, 5]
    assert confirmed["score"].iloc[0] > 1 and "figure5_mmoe_p1" in confirmed
    (setting,) = confirmed.loc[confirmed["name"] == best, "setting"]
    assert json.loads(setting)["bias"] is (best == "0")
    nearer = confirmed["name"].iloc[0] == best
    assert f"Setting {best} is {'nearer' if nearer else 'no nearer'} than figure2_m4" in outcome.out
    verdicts = pd.read_csv(searched / "verdicts.csv")
    assert set(verdicts["setting"]) == {int(best)} and len(verdicts) == 9 and "untested" not in set(verdicts["verdict"])
    assert "The paper's claims at these settings" in outcome.out
    figure3 = pd.read_csv(searched / "figure3.csv")
    assert len(figure3) == 3 and set(figure3["setting"]) == {int(best)}
    nearest = figure3.set_index(["learning_rate", "batch_size"]).filter(like="figure3_").sum(axis=1).idxmin()
    chosen = confirmed[confirmed["name"] == best].iloc[0]
    assert (chosen["figure3_learning_rate"], chosen["figure3_batch_size"]) == nearest
    for figure in ("profiles", "curves", "histograms"):
        assert (searched / f"figures/{figure}.png").exists()
    assert (searched / "conf/experiment/recovery_figure3.yaml").exists()
    assert len(search.finished(search.open_study(searched / "search.db", 0))) == 3
    assert "Laws that give Figure 2" in outcome.out and "Best settings" in outcome.out

    before = (searched / "confirmed.csv").read_text()
    again = run(*arguments)
    assert again.status == 0 and " runs " not in again.err
    assert (searched / "confirmed.csv").read_text() == before


def _in_trial(database):
    """Settings that are being tried; looked up without Optuna, which would make tables that are missing."""
    if not database.exists():
        return 0
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT COUNT(*) FROM trials WHERE state = 'RUNNING'").fetchone()[0]
    except sqlite3.OperationalError:  # it is just being made
        return 0
    finally:
        connection.close()


@pytest.mark.slow
def test_a_search_that_is_terminated_leaves_no_setting_in_trial(tmp_path):
    results = tmp_path / "results/recovery"
    results.mkdir(parents=True)
    laws.laws_table([LAW]).to_csv(results / "laws.csv", index=False)
    command = ["mmoe-repro", "recover", "trials=50", "workers=2"]
    main = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while _in_trial(results / "search.db") < 2:
        assert main.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(main.pid, signal.SIGTERM)
    _, errors = main.communicate(timeout=120)
    assert main.returncode == 128 + signal.SIGTERM
    assert errors.splitlines()[-1] == "mmoe-repro: stopped; the same command goes on from here"
    assert "Traceback" not in errors
    study = search.open_study(results / "search.db", seed=0)
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    assert states.count(TrialState.FAIL) == 2 and TrialState.RUNNING not in states
    assert (results / "search.csv").exists()


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("trials=0", "trials=0: must be at least 1"),
        ("name=a/b", "plain folder name"),
        ("trial=3", "did you mean 'trials'"),
    ],
)
def test_mistakes_are_refused_in_one_line(run, argument, says):
    outcome = run("recover", argument)
    assert outcome.status == 2
    assert says in outcome.err and outcome.err.count("\n") == 1
