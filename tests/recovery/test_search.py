"""Settings, how they are tried, and the study's table."""

from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.trial import FixedTrial, TrialState

from mmoe_repro.recovery import search, search_space
from mmoe_repro.recovery.laws import Fit
from mmoe_repro.recovery.score import CURVES, Curve, name
from mmoe_repro.training import chunk
from mmoe_repro.training.chunk import population

LAW = Fit(0.5, (2.0, 7.0), (0.3, 1.0), 0.01, 1.0, 0.0, 1.0)
CHOICES = {
    **{"factor": 0.5, "plateau": 0.5, "law": 0, "initializer": "torch", "gain": 1.5, "output_gain": 4.0},
    **{"gate_gain": 0.3, "bias": False, "learning_rate": 0.01, "log2_batch_size": 4},
    **{"examples": "finite", "log10_examples": 4.0},
}


def test_what_the_choices_become():
    setting = search_space.suggest(FixedTrial(CHOICES), [LAW])
    assert setting.law == {"c": 0.5, "alpha": [2.0, 7.0], "beta": [0.3, 1.0], "noise_variance": 0.01}
    assert setting.label_variance == 1.0, "half of it is the plateau"
    cell = setting.cell(Curve("figure3", "shared_bottom", 1.0))
    model, data = cell.model.settings, cell.data.settings
    assert model["bottom"] == [16]
    assert (model["gain"], model["output_gain"], model["gate_gain"], model["bias"]) == (1.5, 4.0, 0.3, False)
    assert data["correlation"] == 1.0 and data["examples"] == 10_000
    assert cell.training.batch_size == 16 and cell.training.learning_rate == 0.01
    assert setting.cell(Curve("figure4", "shared_bottom", 1.0)).model.settings["bottom"] == [113]
    fresh = search_space.suggest(FixedTrial({**CHOICES, "examples": "fresh"}), [LAW])
    assert fresh.examples is None
    normal = search_space.suggest(FixedTrial({**CHOICES, "initializer": "normal", "sd": 0.2}), [LAW])
    assert normal.gain == 0.2


@pytest.mark.parametrize("curve", CURVES)
def test_every_curve_has_a_cell_that_trains(curve):
    setting = search_space.suggest(FixedTrial(CHOICES), [LAW])
    runs = population(setting.cell(curve), range(2))
    assert runs.advance() > 0 and np.isfinite(runs.curves()).all()


def test_the_last_comparison_is_with_all_of_figure_4():
    compared = [curve for curves in search.COMPARISONS for curve in curves]
    assert sorted(compared) == sorted(curve for curve in CURVES if curve.figure == "figure4")
    assert search.COMPARISONS[0] == (Curve("figure4", "shared_bottom", 0.5),)


@pytest.fixture
def short(monkeypatch):
    """Trainings of 600 steps, not compiled, two runs each, and comparisons of two curves."""
    base = search_space.base

    def shorter(*arguments):
        cell = base(*arguments)
        return replace(cell, training=replace(cell.training, steps=600))

    monkeypatch.setattr(search_space, "base", shorter)
    monkeypatch.setattr(search, "COMPARISONS", (CURVES[:1], CURVES[1:2]))
    monkeypatch.setattr(chunk, "population", lambda cell, seeds, compiled=False: population(cell, seeds[:2]))


@pytest.mark.slow
def test_a_trial_is_scored_and_the_table_goes_on_elsewhere(short, tmp_path):
    study = search.open_study(tmp_path / "one.db", seed=0)
    study.enqueue_trial(CHOICES)
    study.enqueue_trial({**CHOICES, "plateau": 0.42})
    study.optimize(lambda trial: search.objective(trial, [LAW]), n_trials=2)
    trial, _ = search.finished(study)
    assert trial.state == TrialState.COMPLETE and trial.value > 1
    assert trial.intermediate_values[2] == trial.value
    assert set(trial.user_attrs["means"]) == {name(curve) for curve in CURVES[:2]}

    search.search_table(study).to_csv(tmp_path / "search.csv", index=False)
    other = search.open_study(tmp_path / "two.db", seed=0)
    search.add_trials(other, search.read_table(tmp_path / "search.csv"), [LAW])
    for before, after in zip(search.finished(study), search.finished(other), strict=True):
        assert (before.params, before.state) == (after.params, after.state)
        assert before.intermediate_values == after.intermediate_values
    again = search.finished(other)[0]
    assert (again.value, again.user_attrs) == (trial.value, trial.user_attrs)


def test_a_setting_goes_on_if_it_is_of_the_best_quarter_of_the_latest_or_cannot_be_told_from_the_papers():
    study = optuna.create_study(pruner=search._BestOfTheLatest())

    def goes_on(score):
        trial = study.ask()
        trial.report(score, 1)
        pruned = trial.should_prune()
        study.tell(trial, state=TrialState.PRUNED if pruned else TrialState.COMPLETE, values=None if pruned else score)
        return not pruned

    assert goes_on(9.0), "the first one is the best so far"
    assert [goes_on(score) for score in (5.0, 6.0, 7.0, 8.0, 4.0)] == [True, False, False, False, True]
    assert goes_on(1.0)
    for _ in range(search.COMPARED):
        goes_on(2.0)
    # Those before the latest are forgotten.
    assert not goes_on(2.1) and goes_on(1.9)


def test_losses_of_a_curve_are_those_of_its_runs(short):
    setting = search_space.suggest(FixedTrial(CHOICES), [LAW])
    curve = Curve("figure4", "mmoe", 0.5)
    losses = search.train_curve(setting, curve, range(7, 9))
    runs = population(setting.cell(curve), range(7, 9))
    while not runs.finished:
        runs.advance()
    # Two runs of task 1, then the same of task 2.
    expected = runs.curves()
    np.testing.assert_array_equal(losses[0], np.concatenate([expected[..., 0], expected[..., 1]]))
    assert losses.shape == (2, 4, 6)
