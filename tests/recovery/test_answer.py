"""What the recovery's answer becomes."""

import json

import yaml
from hydra import compose, initialize_config_dir
from optuna.trial import FixedTrial

from mmoe_repro import config
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


def test_a_sweep_of_the_answer_trains_the_cells_that_were_searched(run, tmp_path):
    candidate = Candidate("7", search.suggest(FixedTrial(CHOICES), [LAW]), RATES, 0.5, True)
    write_options(tmp_path / "conf", "mine", candidate)
    short = ("--config-dir", "conf", "runs=1", "training.steps=100", "workers=1")
    assert run("sweep", "experiment=mine", *short).status == 0
    assert run("sweep", "experiment=mine_figure3", *short).status == 0

    trained = []
    for name in ("mine", "mine_figure3"):
        recorded = yaml.safe_load((tmp_path / f"results/{name}/config.yaml").read_text())
        trained += [cell["settings"] for cell in recorded["cells"]]
    assert len(trained) == 9 + 3
    keys = [json.dumps({**one, "training": {**one["training"], "steps": 10_000}}, sort_keys=True) for one in trained]
    for curve, cell in candidate.cells().items():
        assert json.dumps(cell.settings, sort_keys=True) in keys, curve
    rates = {
        (one["model"]["_target_"].rpartition(".")[2], one["data"]["correlation"]): one["training"]["learning_rate"]
        for one in trained[:9]
    }
    assert rates["OMoE", 0.5] == 0.001 and rates["OMoE", 0.9] == rates["OMoE", 1.0] == 0.01


def test_the_reference_is_the_default_sweep():
    settings = reference().cells()[Curve("figure4", "omoe", 1.0)].settings
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        composed = config.cell_settings(compose("sweep", ["model=omoe", "data.correlation=1"]))
    assert settings == composed
