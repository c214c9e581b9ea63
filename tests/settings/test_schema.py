"""The YAML is the one home of defaults, and what options share is there once."""

import re
import shutil
from dataclasses import MISSING, fields, is_dataclass

import pytest
from helpers import cell_of
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmoe_repro.runs.results import read_sweep
from mmoe_repro.settings import schema

OPTIONS = {group: sorted(path.stem for path in (schema.folder() / group).glob("*.yaml")) for group in ("model", "data")}


@pytest.mark.parametrize(
    ("group", "file", "key", "value", "options"),
    [
        pytest.param("model", "model_defaults", "gain", 7.5, 12, marks=pytest.mark.slow),
        ("data", "law_defaults", "dimension", 42, 6),
    ],
)
def test_a_shared_setting_is_changed_for_every_option_in_one_line_of_one_file(
    tmp_path, group, file, key, value, options
):
    def stated(conf):
        with initialize_config_dir(str(conf), version_base="1.3"):
            return [compose("sweep", [f"{group}={option}"])[group][key] for option in OPTIONS[group]]

    schema.register()
    conf = shutil.copytree(schema.folder(), tmp_path / "conf")
    path = conf / f"{file}.yaml"
    before = OmegaConf.load(path)[key]
    # The experiments state a gain of their own only where they name a setting that is not the default.
    assert stated(conf) == [before] * options and before != value
    text, changed = re.subn(rf"^{key}: \S+", f"{key}: {value}", path.read_text(), flags=re.MULTILINE)
    assert changed == 1
    path.write_text(text)
    assert stated(conf) == [value] * options


def test_no_type_of_settings_states_a_value():
    schemas = [one for one in vars(schema).values() if is_dataclass(one)]
    assert len(schemas) > 15
    for one in schemas:
        for field in fields(one):
            assert field.name == "_target_" or field.default in (MISSING, "???"), (one, field.name)
            assert field.default_factory is MISSING, (one, field.name)


@pytest.mark.parametrize("option", ["model_defaults", pytest.param("law_defaults", marks=pytest.mark.slow)])
def test_what_options_share_is_no_option(run, option):
    group = {"model_defaults": "model", "law_defaults": "data"}[option]
    outcome = run("sweep", f"{group}={option}")
    assert outcome.status == 2 and f"{group}={option}: " in outcome.err
    assert option not in run("sweep", "--help").out
    assert option not in run("data").out


def test_a_law_says_what_it_was_fitted_to_and_is_made_without():
    for option in OPTIONS["data"]:
        law = cell_of(f"data={option}").data
        fitted = {"recovered": "Figures 2 to 5", "setting_151": "Figures 2 to 5", "figure2_m4": "Figure 2"}
        assert law.fitted_to == fitted.get(option)
        assert "fitted_to" not in law.settings
    assert cell_of("data=linear", "data.fitted_to=Figure 2").identity == cell_of("data=linear").identity


@pytest.mark.slow
def test_files_of_a_users_own_may_include_what_options_share(run, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from mmoe_repro.models import MMoE\n\n\n"
        "class Mine(MMoE):\n"
        "    def __init__(self, experts, **shared):\n"
        "        super().__init__(experts=experts, expert=[4], tower=[3], **shared)\n"
    )
    for group, lines in {
        "model": ("defaults: [/model_defaults@_here_, _self_]", "_target_: mine.Mine", "experts: 3"),
        "data": (
            *("defaults: [/law_defaults@_here_, _self_]", "c: 1.0", "alpha: []", "beta: []"),
            *("noise_variance: 0.01", "label_variance: null", "fitted_to: my own figures"),
        ),
    }.items():
        path = tmp_path / "conf" / group / "mine.yaml"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(lines))
    (tmp_path / "conf/data/plain.yaml").write_text(
        "_target_: mmoe_repro.data.SyntheticLaw\ndimension: 20\nc: 1.0\nalpha: []\nbeta: []\nnoise_variance: 0.01\n"
        "label_variance: null\ncorrelation: 0.5\nexamples: null\ntasks: 2\n"
    )
    short = ("training.steps=10", "training.window=5", "training.batch_size=16", "runs=2", "workers=1")
    for law, fitted_to in (("mine", "my own figures"), ("plain", None)):
        arguments = ("model=mine", f"data={law}", "data.correlation=0.5", f"name={law}", "--config-dir", "conf", *short)
        outcome = run("sweep", *arguments)
        assert outcome.status == 0, outcome.err
        (cell,) = read_sweep(tmp_path / "results" / law).cells
        assert cell.data.fitted_to == fitted_to, "of which a page about the paper warns"
