"""The atlas's design: priors, products, cells."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from scipy import stats

from mmoe_repro.atlas import design
from mmoe_repro.errors import UsageError
from mmoe_repro.findings.paper_runs import SMALL
from mmoe_repro.settings.schema import folder, register

LAWS = Path(__file__).parents[2] / "results/recovery/laws.csv"


@pytest.fixture(scope="module")
def config():
    register()
    with initialize_config_dir(str(folder()), version_base="1.3"):
        return OmegaConf.to_container(compose("atlas"), resolve=True)


@pytest.fixture(scope="module")
def choices(config):
    return design.read_choices(config["choices"])


def test_a_longer_design_goes_on_where_a_shorter_one_ended(choices):
    pd.testing.assert_frame_equal(design.draw(choices, 320).head(50), design.draw(choices, 50))


def test_values_have_their_prior(choices):
    table = design.draw(choices, 1024)
    for choice in choices:
        if not choice.is_open:
            assert choice.name not in table
        elif choice.values is None:
            scaled = np.log(table[choice.name]) if choice.log else table[choice.name]
            low, high = (np.log([choice.low, choice.high])) if choice.log else (choice.low, choice.high)
            # Evener than random numbers, whose distance would be about 0.03.
            assert stats.kstest((scaled - low) / (high - low), "uniform").statistic < 0.01
        else:
            found = table[choice.name].value_counts(normalize=True)
            for value, share in zip(choice.values, choice.shares, strict=True):
                assert found[value] == pytest.approx(share, abs=0.01)


def test_numbers_that_two_choices_give_a_key_are_multiplied():
    choices = design.read_choices(
        {
            "loss": {"values": [{"name": "half", "paper_loss": 0.5, "data.label_variance": 2.0}]},
            "label_variance": {"key": "data.label_variance", "low": 0.4, "high": 0.6},
        }
    )
    assert design.chosen(choices, {"label_variance": 0.45}) == {"paper_loss": 0.5, "data.label_variance": 0.9}


def test_cells_are_what_the_choices_say_and_the_defaults_else(choices):
    row = design.draw(choices, 1).loc[0].to_dict()
    settings = design.chosen(choices, row)
    cells = design.cells(settings)
    assert list(cells) == [(m, p) for m in ("shared_bottom", "omoe", "mmoe", SMALL) for p in (0.5, 1.0)]
    for (model, correlation), cell in cells.items():
        assert cell.training.batch_size == settings["training.batch_size"]
        assert cell.data.settings["alpha"] == settings["data.alpha"]
        assert cell.data.correlation == correlation
        assert cell.model.settings["output_gain"] == settings["model.output_gain"]
        if "bottom" in cell.model.settings:
            assert cell.model.settings["bottom"] == ([16] if model == SMALL else [113])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"key": "model.gain"}, "must have `values`"),
        ({"key": "model.gain", "low": 2, "high": 1}, "low < high"),
        ({"key": "model.gain", "low": 0, "high": 1, "log": True}, "low > 0"),
        ({"low": 0, "high": 1}, "a key"),
        ({"key": "model.bias", "values": True}, "must be a list"),
        ({"values": [1, 2]}, "needs a key"),
        ({"key": "model.bias", "values": [True, False], "weights": [1]}, "one for each value"),
        ({"values": [{"model.gain": 1}, {"model.gain": 2}]}, "a name of its own"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(given, said):
    with pytest.raises(UsageError, match=said):
        design.read_choices({"mine": given})


def test_a_key_that_no_model_has_is_refused():
    with pytest.raises(UsageError, match=r"model\.widths is no setting of shared_bottom"):
        design.cells({"model.widths": 3})


def test_a_range_of_what_is_a_whole_number_is_refused():
    with pytest.raises(UsageError, match=r"training\.batch_size=30\.9: must be a whole number; list its values"):
        design.cells({"training.batch_size": 30.9})


def test_choices_that_do_not_say_what_a_loss_is_are_refused():
    with pytest.raises(UsageError, match="one of them has to say paper_loss"):
        design.paper_loss({"model.gain": 1.0})


def test_fewer_steps_than_a_window_are_refused():
    with pytest.raises(UsageError, match=r"training\.steps=20: must be at least a window, 100"):
        design.cells({"training.steps": 20})


def test_its_laws_are_those_of_the_recovery(config):
    kept = pd.read_csv(LAWS).query("law.notna() and near.isna()").sort_values("law")
    assert [law["name"] for law in config["laws"]] == [f"law {int(number)}" for number in kept["law"]]
    for law, (_, row) in zip(config["laws"], kept.iterrows(), strict=True):
        assert law["data.c"] == pytest.approx(row["c"], rel=1e-12)
        assert str(law["data.alpha"]) == row["alpha"] and str(law["data.beta"]) == row["beta"]
