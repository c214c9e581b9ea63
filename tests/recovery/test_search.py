"""Settings, how they are tried, and the study's table."""

import math

import numpy as np
import optuna
import pytest
from optuna.trial import FixedTrial, TrialState

from mmoe_repro.cell import population
from mmoe_repro.recovery import search
from mmoe_repro.recovery.laws import Fit
from mmoe_repro.recovery.score import CURVES, Curve
from mmoe_repro.synthetic import SyntheticLaw

LAW = Fit(0.5, (2.0, 7.0), (0.3, 1.0), 0.01, 1.0, 0.0, 1.0)
TRAINING = {"initializer": "torch", "examples": 1_000, "log2_batch_size": 3, "gain": 1.5, "bias": False}
FROM_FIGURE2 = {"factor": 0.5, "plateau": 0.5, "law_from": "figure2", "law": 0, **TRAINING}
FREE = {"factor": 1.0, "plateau": 0.45, "law_from": "free", "sines": 1, "frequency0": 2.0, "beta0": math.pi, "c": 0.3}
#: Raw labels of variance 0.42 with a fast sine, which alone has 0.5.
UNREACHABLE = {**FREE, "plateau": 0.42, "frequency0": 10.0, "labels": "raw", **TRAINING}


def test_a_setting_from_figure_2():
    setting = search.suggest(FixedTrial(FROM_FIGURE2), [LAW])
    assert setting.law == {"c": 0.5, "alpha": [2.0, 7.0], "beta": [0.3, 1.0], "noise_variance": 0.01}
    assert setting.label_variance == 1.0, "half of it is the plateau"
    cell = setting.cell(Curve("figure3", "shared_bottom", 1.0), 0.01)
    assert cell.settings["model"]["bottom"] == [16] and cell.settings["model"]["gain"] == 1.5
    assert cell.settings["data"]["correlation"] == 1.0 and cell.settings["data"]["examples"] == 1_000
    assert cell.settings["training"]["batch_size"] == 8 and cell.settings["training"]["learning_rate"] == 0.01
    assert setting.cell(Curve("figure4", "shared_bottom", 1.0), 0.01).settings["model"]["bottom"] == [113]


@pytest.mark.parametrize("curve", CURVES)
def test_every_curve_has_a_cell_that_trains(curve):
    setting = search.suggest(FixedTrial(FROM_FIGURE2), [LAW])
    runs = population(setting.cell(curve, 0.001), range(2))
    assert runs.advance() > 0 and np.isfinite(runs.curves()).all()


def test_free_laws_are_standardised_or_raw():
    setting = search.suggest(FixedTrial({**FREE, "labels": "standardised", **TRAINING}), [])
    assert setting.law["alpha"] == [2.0 / 0.3] and setting.label_variance == 0.45
    raw = search.suggest(FixedTrial({**FREE, "labels": "raw", **TRAINING}), [])
    assert raw.label_variance is None
    law = SyntheticLaw(dimension=100, label_variance=None, correlation=0.5, **raw.law)
    assert law.raw_variance == pytest.approx(0.45), "the plateau is where stuck runs end"
    assert raw.law["alpha"][0] * raw.law["c"] == pytest.approx(2.0)


def test_raw_labels_that_cannot_have_the_variance_are_given_up():
    with pytest.raises(optuna.TrialPruned):
        search.suggest(FixedTrial(UNREACHABLE), [])


def small_objective(monkeypatch):
    """The objective with short rungs of two curves and one rate, not compiled, and two runs."""
    monkeypatch.setattr(search, "RUNGS", {600: CURVES[:1], 700: [CURVES[0], CURVES[-1]]})
    monkeypatch.setattr(search, "RATES", (0.01,))
    monkeypatch.setattr(search, "population", lambda cell, seeds, compiled=False: population(cell, seeds[:2]))
    return lambda trial: search.objective(trial, [LAW])


def test_a_trial_is_scored_and_the_table_goes_on_elsewhere(monkeypatch, tmp_path):
    objective = small_objective(monkeypatch)
    study = search.open_study(tmp_path / "one.db", seed=0)
    study.enqueue_trial({**FROM_FIGURE2, "log2_batch_size": 0})
    study.optimize(objective, n_trials=1)
    (trial,) = search.finished(study)
    assert trial.state == TrialState.COMPLETE and trial.value > 1
    assert trial.intermediate_values[700] == trial.value
    rates = trial.user_attrs["rates"]
    assert set(rates) == {search.name(CURVES[0]), "figure3_shared_bottom_p1"}
    assert rates["figure3_shared_bottom_p1"] == 0.001, "Adam's default"

    study.enqueue_trial({**UNREACHABLE, "log2_batch_size": 0})
    study.optimize(objective, n_trials=1)
    search.search_table(study).to_csv(tmp_path / "search.csv", index=False)
    other = search.open_study(tmp_path / "two.db", seed=0)
    search.add_trials(other, search.read_table(tmp_path / "search.csv"), [LAW])
    for before, after in zip(search.finished(study), search.finished(other), strict=True):
        assert (before.params, before.state, before.value) == (after.params, after.state, after.value)
        assert before.intermediate_values == after.intermediate_values
    assert search.finished(other)[0].user_attrs == trial.user_attrs


def test_a_setting_goes_on_if_it_is_of_the_best_third_of_the_latest_or_cannot_be_told_from_the_papers():
    study = optuna.create_study(pruner=search._BestOfTheLatest())

    def goes_on(score):
        trial = study.ask()
        trial.report(score, 300)
        pruned = trial.should_prune()
        study.tell(trial, state=TrialState.PRUNED if pruned else TrialState.COMPLETE, values=None if pruned else score)
        return not pruned

    assert goes_on(9.0), "the first one is the best so far"
    assert [goes_on(score) for score in (5.0, 6.0, 7.0, 5.5, 4.0)] == [True, False, False, True, True]
    assert goes_on(1.0)
    for _ in range(search.COMPARED):
        goes_on(2.0)
    # Those before the latest are forgotten.
    assert not goes_on(2.1) and goes_on(1.9)


def test_losses_of_a_trial_are_those_of_its_runs(monkeypatch):
    monkeypatch.setattr(search, "population", lambda cell, seeds, compiled=False: population(cell, seeds))
    setting = search.suggest(FixedTrial(FROM_FIGURE2), [LAW])
    curve = Curve("figure4", "mmoe", 0.5)
    losses = search.Trial(setting, 7, 2).losses(curve, 0.01, 300)
    runs = population(setting.cell(curve, 0.01), range(7, 9))
    while runs.step < 300:
        runs.advance()
    # Two runs of task 1, then the same of task 2.
    expected = runs.curves()[:, :3]
    np.testing.assert_array_equal(losses[0], np.concatenate([expected[..., 0], expected[..., 1]]))
    assert losses.shape == (2, 4, 3)
