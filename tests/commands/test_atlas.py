"""The command from the outside: train, go on, refuse other choices."""

import re

import pandas as pd
import pytest

SHORT = ["choices.steps.values=[100]", "name=try", "runs=3", "workers=1"]


@pytest.mark.slow
def test_settings_are_trained_once_and_go_on(process, tmp_path):
    first = process("atlas", "settings=1", *SHORT)
    assert first.status == 0, first.err
    results = tmp_path / "results/try"
    stored = pd.read_parquet(results / "losses.parquet")
    assert set(stored["setting"]) == {0}
    assert len(stored) == 8 * 3 * 2  # cells, runs, tasks
    assert (results / "figures/holds.png").exists()
    page = (results / "report.html").read_text()
    assert "mmoe-repro atlas settings=1" in page
    named = {*re.findall(r"\w+\.csv", first.out), *re.findall(r"\w+\.csv", page)}
    assert named == {path.name for path in results.glob("*.csv")}, "one setting has no shares to compare"

    longer = process("atlas", "settings=2", *SHORT)
    assert longer.status == 0, longer.err
    further = pd.read_parquet(results / "losses.parquet")
    pd.testing.assert_frame_equal(further[further["setting"] < 1], stored)
    assert set(further["setting"]) == {0, 1}
    assert "F3 holds in" in longer.out

    again = process("atlas", "settings=0", *SHORT)
    assert again.status == 0 and again.out == longer.out

    other = process("atlas", "settings=2", "choices.gain.high=2", *SHORT)
    assert other.status == 2 and "begun with other choices; use another name" in other.err


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("settings=-1", "settings=-1: must be at least 0"),
        ("runs=2", "runs=2: must be at least 3"),
        ("settings=0", "there are no settings"),
        ("choices.gain.low=5", "choices.gain"),
    ],
)
def test_what_makes_no_sense_is_refused(run, override, said):
    done = run("atlas", override)
    assert done.status == 2 and said in done.err
