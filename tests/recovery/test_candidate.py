"""What the recovery's answer becomes."""

from dataclasses import replace

import pytest
from helpers import cell_of
from optuna.trial import FixedTrial

from mmoe_repro.commands import sweep
from mmoe_repro.recovery import search_space
from mmoe_repro.recovery.candidate import Candidate, figure3_settings, reference, write_options
from mmoe_repro.recovery.laws import Fit
from mmoe_repro.recovery.score import Curve

LAW = Fit(0.5, (2.0, 7.0), (0.3, 1.0), 0.01, 1.0, 0.0, 1.0)
CHOICES = {
    **{"factor": 0.5, "plateau": 0.5, "law": 0, "initializer": "he_normal", "learning_rate": 0.01, "bias": False},
    **{"examples": "finite", "log10_examples": 4.0, "log2_batch_size": 5},
    **{"gain": 1.5, "output_gain": 4.0, "gate_gain": 0.5},
}


@pytest.mark.slow
def test_a_sweep_of_the_answer_asks_for_the_cells_that_were_searched(run, tmp_path, monkeypatch):
    setting = search_space.suggest(FixedTrial(CHOICES), [LAW])
    candidate = Candidate("7", setting, replace(setting, learning_rate=0.001, batch_size=8), 0.5)
    write_options(tmp_path / "conf", "mine", candidate)
    cells = []
    monkeypatch.setattr(sweep, "work", lambda launch: None)  # which would train them
    monkeypatch.setattr(sweep, "finish", lambda _: cells.extend(job.cell for job in sweep._sweep.jobs) or 0)
    for experiment, count in (("mine", 9), ("mine_figure3", 3)):
        before = len(cells)
        assert run("sweep", f"experiment={experiment}", "--config-dir", "conf").status == 0
        assert len(cells) == before + count

    assert {cell.data.fitted_to for cell in cells} == {"Figures 2 to 5"}
    asked = [(cell.model, cell.data.settings, cell.training) for cell in cells]
    assert all((cell.model, cell.data.settings, cell.training) in asked for cell in candidate.cells().values())


def test_figure_3_is_tried_with_other_rates_and_batches():
    setting = search_space.suggest(FixedTrial(CHOICES), [LAW])
    tried = figure3_settings(setting)
    assert tried[0] == setting
    pairs = [(one.learning_rate, one.batch_size) for one in tried]
    assert len(set(pairs)) == len(pairs) == 12 and (0.001, 8) in pairs
    assert all(replace(one, learning_rate=0.01, batch_size=32) == setting for one in tried), "nothing else differs"


def test_the_reference_is_what_was_known_before():
    candidate = reference()
    cell = candidate.cells()[Curve("figure4", "omoe", 1.0)]
    composed = cell_of("experiment=figure2_m4", "model=omoe", "data.correlation=1")
    assert (cell.model, cell.data.settings, cell.training) == (
        composed.model,
        composed.data.settings,
        composed.training,
    )
    assert candidate.figure3.learning_rate == 0.001, "Adam's default"
