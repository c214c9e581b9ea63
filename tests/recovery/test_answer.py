"""What the recovery's answer becomes."""

from hydra import compose, initialize_config_dir
from optuna.trial import FixedTrial

from mmoe_repro import config, sweep
from mmoe_repro.recovery import search
from mmoe_repro.recovery.answer import Candidate, reference, write_options
from mmoe_repro.recovery.laws import Fit
from mmoe_repro.recovery.score import CURVES, Curve

LAW = Fit(0.5, (2.0, 7.0), (0.3, 1.0), 0.01, 1.0, 0.0, 1.0)
CHOICES = {
    **{"factor": 0.5, "plateau": 0.5, "law_from": "figure2", "law": 0, "initializer": "he_normal"},
    **{"examples": 1_000, "log2_batch_size": 3, "gain": 1.5, "bias": False},
}
RATES = dict(zip(CURVES, (0.001, 0.001, 0.001, 0.01, 0.01, 0.01, 0.002, 0.002), strict=True))


def test_a_sweep_of_the_answer_asks_for_the_cells_that_were_searched(run, tmp_path, monkeypatch):
    candidate = Candidate("7", search.suggest(FixedTrial(CHOICES), [LAW]), RATES, 0.5, True)
    write_options(tmp_path / "conf", "mine", candidate)
    cells = []
    monkeypatch.setattr(sweep, "finish", lambda _: cells.extend(job.cell for job in sweep._sweep.planned) or 0)
    for experiment, count in (("mine", 9), ("mine_figure3", 3)):
        before = len(cells)
        assert run("sweep", f"experiment={experiment}", "--config-dir", "conf").status == 0
        assert len(cells) == before + count

    asked = [cell.settings for cell in cells]
    assert all(cell.settings in asked for cell in candidate.cells().values())
    rates = {(cell.model, cell.settings["data"]["correlation"]): cell.settings["training"] for cell in cells[:9]}
    assert [rates["omoe", p]["learning_rate"] for p in (0.5, 0.9, 1.0)] == [0.001, 0.01, 0.01]


def test_the_reference_is_what_was_known_before():
    settings = reference().cells()[Curve("figure4", "omoe", 1.0)].settings
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        composed = config.cell_settings(compose("sweep", ["experiment=figure2_m4", "model=omoe", "data.correlation=1"]))
    assert settings == composed
