"""Results that are committed: a reader who trains a cell from its recorded settings finds the recorded numbers."""

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from mmoe_repro.runs.results import Swept, _seeds, _spans, recall, record
from mmoe_repro.settings.cell import read_record
from mmoe_repro.settings.schema import folder
from mmoe_repro.training.chunk import population

RESULTS = Path(__file__).parents[2] / "results"
#: The beginning of training, before rounding has grown: how far, and how near.
STEPS, NEAR = 200, 1e-3


@pytest.mark.parametrize(("name", "rate"), [("figure4", 0.01), ("recovery/figure4", 0.01)])
def test_a_committed_cell_trained_from_its_settings_gives_the_committed_numbers(name, rate):
    (cell,) = [
        one
        for one in recall(yaml.safe_load((RESULTS / name / "config.yaml").read_text()))
        if (one.model.name, one.data.correlation, one.training.learning_rate) == ("mmoe", 0.5, rate)
    ]
    runs, curves = (pd.read_parquet(RESULTS / name / f"{table}.parquet") for table in ("runs", "curves"))
    seeds = cell.seeds[:10]
    trained = population(cell, range(seeds[0], seeds[-1] + 1))  # as the chunk was, but not compiled
    initial = trained.evaluate().loss
    while trained.step < STEPS:
        trained.advance()

    def committed(table, column):
        mine = table[(table["cell"] == cell.identity) & table["seed"].isin(seeds)]
        if "step" in mine:
            mine = mine[mine["step"] < STEPS].sort_values(["seed", "task", "step"])
        else:
            mine = mine.sort_values(["seed", "task"])
        return mine[column].to_numpy().reshape(len(seeds), 2, -1)

    window = cell.training.window
    np.testing.assert_allclose(initial, committed(runs, "initial_loss")[..., 0], rtol=1e-5)
    ours = np.moveaxis(trained.curves()[:, : STEPS // window], 1, 2)
    np.testing.assert_allclose(ours, committed(curves, "loss"), rtol=NEAR)


@pytest.mark.parametrize("option", ["data/{}", "experiment/{}", "experiment/{}_figure3"])
def test_the_recovered_options_are_what_the_recovery_wrote(option):
    written = (RESULTS / "recovery" / "conf" / f"{option.format('recovery')}.yaml").read_text()
    assert (folder() / f"{option.format('recovered')}.yaml").read_text() == written.replace("recovery", "recovered")


@pytest.mark.parametrize("name", ["recovery/figure3", "recovery/figure4"])
def test_committed_runs_of_the_recovered_law_are_known_to_be_fitted(name):
    cells = recall(yaml.safe_load((RESULTS / name / "config.yaml").read_text()))
    assert {(cell.data.name, cell.data.fitted_to) for cell in cells} == {("recovered", "Figures 2 to 5")}


def test_a_record_is_recalled():
    recorded = yaml.safe_load((RESULTS / "figure4" / "config.yaml").read_text())
    none = pd.DataFrame()
    command = shlex.split(recorded["command"])
    again = record(Swept("figure4", recall(recorded), none, none, none, none, command, {}, 0.5))
    assert again["paper_loss"] == 0.5
    assert {key: again[key] for key in ("command", "results")} == {key: recorded[key] for key in ("command", "results")}
    for one, other in zip(again["cells"], recorded["cells"], strict=True):
        # Older records lack settings that came later, which have a value that changes nothing.
        assert read_record(one) == read_record(other)
        assert {**one, "settings": None} == {**other, "settings": None}


@pytest.mark.parametrize("seeds", [[], [5], [0, 1, 2, 7], [3, 4, 9, 10]])
def test_spans_are_read_back(seeds):
    assert _seeds(_spans(seeds)) == seeds
