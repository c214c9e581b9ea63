"""Settings: what makes a cell, and one place for each default."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmoe_repro import config


def composed(*overrides):
    config.register()
    with initialize_config_dir(str(config.folder()), version_base="1.3"):
        return compose("sweep", list(overrides))


def job(*overrides):
    choices = {"model": "mmoe", "data": "figure2_m4"}
    return config.read_job(composed(*overrides), choices, Path("results/x"), list(overrides))


def test_the_training_files_defaults_are_those_of_the_class():
    assert OmegaConf.to_object(composed().training) == config.Training()


@pytest.mark.parametrize("model", ["shared_bottom", "omoe", "mmoe"])
def test_a_sweep_by_default_is_the_recovered_setting(model):
    default, recovered = (composed(f"model={model}", *experiment) for experiment in ((), ("experiment=recovered",)))
    assert config.cell_settings(default) == config.cell_settings(recovered)
    assert default.paper_loss == recovered.paper_loss


@pytest.mark.parametrize("overrides", [["runs=3"], ["seed=7"], ["name=other"], ["workers=1"]])
def test_what_does_not_decide_a_run_is_not_part_of_the_cell(overrides):
    assert job(*overrides).cell == job().cell


@pytest.mark.parametrize(
    "override",
    [
        *("data.correlation=0.6", "data.c=0.5", "model.experts=7", "model.bias=true", "training.batch_size=16"),
        *("training.optimizer.eps=1e-7", "data_seed=0", "init_seed=0", "training.steps=20000", "training.device=cuda"),
    ],
)
def test_what_decides_a_run_makes_another_cell(override):
    assert job(override).cell.identity != job().cell.identity


def test_a_cells_identity_is_readable_and_stable():
    identity = job().cell.identity
    assert identity.startswith("mmoe-figure2_m4-p0.5-lr0.01-")
    assert identity == job().cell.identity
    assert job("data.correlation=1").cell.identity == job("data.correlation=1.0").cell.identity


def test_seeds_of_reported_and_tuning_runs_are_apart():
    one = job("runs=5", "seed=3", "tuning_runs=2")
    assert (list(one.seeds), list(one.tuning_seeds)) == ([3, 4, 5, 6, 7], [1_000_000, 1_000_001])
