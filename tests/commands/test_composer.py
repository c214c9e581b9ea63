"""Jobs of a sweep that share their options are composed once, and are what Hydra makes of each."""

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import OmegaConf

from hydra_plugins.mmoe_repro_sweeper import Composer
from mmoe_repro.settings.schema import folder, register


@pytest.fixture
def loader(monkeypatch):
    """Hydra's loader, which notes what it composes for a sweep."""
    register()
    with initialize_config_dir(str(folder()), version_base="1.3"):
        found = GlobalHydra.instance().config_loader()
        loads, load = [], found.load_sweep_config
        monkeypatch.setattr(found, "load_sweep_config", lambda *of: loads.append(of[1]) or load(*of))
        found.loads = loads
        yield found


@pytest.fixture
def master(loader):
    return loader.load_configuration("sweep", ["hydra.job.chdir=false"], RunMode.MULTIRUN)


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=omoe", "data.correlation=0.9", "model.experts=4", "name=mine"],
        ["experiment=peers", "model=shared_bottom", "data=keras_mmoe", "training.learning_rate=0.1"],
        ["experiment=figure4", "model=mmoe", "+claims.T9.ratio=1", "~claims.C1", "claims={C2a:{ratio:2}}"],
    ],
)
def test_a_job_is_what_hydra_makes_of_it(loader, master, overrides):
    ours, hydras = Composer(loader, master)(overrides), loader.load_sweep_config(master, overrides)
    hydras.hydra.overrides, hydras.hydra.job.override_dirname = ours.hydra.overrides, ours.hydra.job.override_dirname
    assert OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(hydras)
    assert ours.hydra.sweep.dir == hydras.hydra.sweep.dir


def test_what_options_come_to_is_composed_once_and_stays_as_it_is(loader, master):
    compose = Composer(loader, master)
    jobs = [compose([f"model={model}", f"data.correlation={p}"]) for model in ("mmoe", "omoe") for p in (0.1, 0.2, 0.3)]
    assert loader.loads == [["model=mmoe"], ["model=omoe"]]
    assert [job.data.correlation for job in jobs] == [0.1, 0.2, 0.3] * 2


def test_a_wrong_setting_is_refused_as_by_hydra(loader, master):
    for compose in (Composer(loader, master), lambda overrides: loader.load_sweep_config(master, overrides)):
        with pytest.raises(ConfigCompositionException, match=r"Could not override 'model\.widths'"):
            compose(["model=mmoe", "model.widths=3"])
