"""Settings: what makes a cell."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from helpers import cell_of, composed
from hydra.utils import instantiate

from mmoe_repro.jobs.from_config import read_job
from mmoe_repro.settings.cell import Cell, Option, read_record


def job(*overrides):
    choices = {"model": "mmoe", "data": "figure2_m4"}
    return read_job(composed(*overrides), choices, Path("results/x"), list(overrides))


@pytest.mark.parametrize("model", ["shared_bottom", "omoe", "mmoe"])
def test_a_sweep_by_default_is_the_recovered_setting(model):
    experiments = ((), ("experiment=recovered",))
    default, recovered = (cell_of(f"model={model}", *experiment) for experiment in experiments)
    assert default == recovered
    assert composed().paper_loss == composed("experiment=recovered").paper_loss


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


def test_a_gain_that_changes_nothing_leaves_a_cell_what_it_was():
    """Results that were kept before these settings existed have the identities of cells without them."""
    before = job("model.output_gain=1", "model.gate_gain=1").cell
    settings = dict(before.model.settings)
    for gain in ("output_gain", "gate_gain"):
        assert settings.pop(gain) == 1.0
    assert replace(before, model=replace(before.model, settings=settings)).identity == before.identity
    assert job("model.output_gain=2").cell.identity != before.identity


def test_a_gain_of_ones_own_model_is_part_of_its_cell():
    own, without = ({"_target_": "mine.Net", **gain} for gain in ({"output_gain": 1.0}, {}))
    one, other = (replace(job().cell, model=Option("mine", settings)) for settings in (own, without))
    assert one.identity != other.identity


@pytest.mark.parametrize("overrides", [[], ["crossed=4"], ["data_seed=3", "data.label_variance=null"]])
def test_a_record_gives_the_cell_again(overrides):
    cell = job(*overrides).cell
    assert Cell(**read_record(json.loads(json.dumps(cell.record())))) == cell


def test_a_record_without_settings_that_came_later_gives_the_model_that_it_was():
    cell = job("model.activation=relu", "model.bias=true", "model.output_gain=1", "model.gate_gain=1").cell
    record = cell.record()
    for key in ("activation", "output_gain", "gate_gain"):
        del record["settings"]["model"][key]
    assert Cell(**read_record(record)) == cell
    record["settings"]["model"]["_target_"] = "mine.Net"
    assert Cell(**read_record(record)).model.settings == record["settings"]["model"], (
        "a user's own has its own settings"
    )


def test_a_law_that_has_moved_keeps_its_cells():
    """`SyntheticLaw` was in another module when results were first kept."""
    cell = job().cell
    record = cell.record()
    record["settings"]["data"]["_target_"] = "mmoe_repro.synthetic.SyntheticLaw"
    again = Cell(**read_record(record))
    assert again == cell and again.identity == cell.identity
    instantiate(again.data.settings)


def test_a_cells_identity_is_readable_and_stable():
    identity = job().cell.identity
    assert identity.startswith("mmoe-figure2_m4-p0.5-lr0.01-")
    assert identity == job().cell.identity
    assert job("data.correlation=1").cell.identity == job("data.correlation=1.0").cell.identity


def test_seeds_of_reported_and_tuning_runs_are_apart():
    one = job("runs=5", "seed=3", "tuning_runs=2")
    assert (list(one.seeds), list(one.tuning_seeds)) == ([3, 4, 5, 6, 7], [1_000_000, 1_000_001])


@pytest.mark.parametrize("name", ["deaths", "recovery/figure3", "recovery/figure4"])
def test_committed_results_keep_the_cells_that_they_are_stored_under(name):
    results = Path(__file__).parents[2] / "results" / name
    cells = yaml.safe_load((results / "config.yaml").read_text())["cells"]
    made = [Cell(**read_record(record)) for record in cells]
    assert {cell.identity for cell in made} == set(pd.read_parquet(results / "runs.parquet", columns=["cell"])["cell"])
    assert not any(cell.sources for cell in made)
