"""`mmoe-repro sweep` through a launcher: it gets what is missing, and whatever it does there are tables."""

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import ClassVar

import pandas as pd
import pytest
from conftest import assert_same
from helpers import SMALL
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher

import hydra_plugins
from mmoe_repro.training import workers

SWEEP = ("sweep", "model=mmoe,omoe", "data.correlation=0.5", *SMALL, "runs=20")
LAUNCHED = (*SWEEP, "hydra/launcher=other", "runs_per_job=10")


class OtherLauncher(Launcher):
    """Runs jobs one after the other in this process; it ends with an error after `lasts` of them."""

    __module__ = "hydra_plugins.other"  # Hydra takes plugins from nowhere else
    launched: ClassVar[list[int]] = []
    lasts = 99

    def setup(self, **arguments):
        self.basic = BasicLauncher()
        self.basic.setup(**arguments)

    def launch(self, job_overrides, initial_job_idx):
        self.launched.append(len(job_overrides))
        done = [self.basic.launch([one], 0)[0] for one in job_overrides[: self.lasts]]
        if self.lasts < len(job_overrides):
            raise ConnectionError("the node is gone")
        return done


@pytest.fixture
def launched(monkeypatch):
    """How many jobs each launch had, of `hydra/launcher=other`."""
    module = ModuleType("hydra_plugins.other")
    module.OtherLauncher = OtherLauncher
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(hydra_plugins, "other", module, raising=False)
    Plugins.instance().register(OtherLauncher)
    node = {"_target_": "hydra_plugins.other.OtherLauncher"}
    ConfigStore.instance().store(group="hydra/launcher", name="other", node=node, provider="tests")
    monkeypatch.setattr(OtherLauncher, "launched", [])
    return OtherLauncher.launched


@pytest.mark.slow
def test_a_launcher_that_ends_early_leaves_tables_and_the_rest_to_the_same_command(
    run, tmp_path, launched, monkeypatch
):
    monkeypatch.setattr(OtherLauncher, "lasts", 3)
    first = run(*LAUNCHED)
    assert first.status == 1
    assert "the launcher ended early: ConnectionError: the node is gone" in first.err
    assert "10 runs are missing; the same command goes on from here" in first.err
    assert len(pd.read_parquet(tmp_path / "results/sweep/runs.parquet")) == 2 * 30
    assert run(*LAUNCHED).status == 0
    assert run(*LAUNCHED).status == 0
    assert launched == [4, 1], "what is missing, and nothing once all is there"
    assert run(*SWEEP, "name=without").status == 0
    assert_same(tmp_path / "results/sweep", tmp_path / "results/without")


@pytest.mark.slow
def test_a_unit_that_fails_is_a_line_and_the_others_of_its_job_are_trained(run, tmp_path, launched, monkeypatch):
    train_chunk = workers.train_chunk

    def train_mmoe(store, cell, chunk, listener):
        if cell.model.name == "omoe":
            raise RuntimeError("the well is dry\nand more")
        return train_chunk(store, cell, chunk, listener)

    monkeypatch.setattr(workers, "train_chunk", train_mmoe)
    outcome = run(*LAUNCHED, "runs_per_job=1000")
    assert outcome.status == 1 and launched == [1]
    lines = [line for line in outcome.err.splitlines() if line.endswith("failed: the well is dry")]
    assert len(lines) == 1 and lines[0].startswith("mmoe-repro: omoe-")
    assert set(pd.read_parquet(tmp_path / "results/sweep/runs.parquet")["model"]) == {"mmoe"}


@pytest.mark.slow
def test_tables_of_what_is_stored_so_far(run, tmp_path, launched):
    assert run(*SWEEP, "runs=10").status == 0
    outcome = run(*LAUNCHED, "train=false")
    assert outcome.status == 0 and launched == []
    assert "20 runs are not stored yet" in outcome.err
    assert len(pd.read_parquet(tmp_path / "results/sweep/runs.parquet")) == 2 * 20


@pytest.mark.parametrize(("cluster", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_cluster_without_its_packages_says_how_to_get_them(run, tmp_path, cluster, package):
    if find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    outcome = run(*SWEEP, f"cluster={cluster}")
    assert outcome.status == 2
    assert outcome.err == f"mmoe-repro: cluster={cluster}: needs its packages: pip install 'mmoe-repro[{cluster}]'\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("cluster=slrum", "cluster=slrum: did you mean 'slurm'?"),
        ("cluster=local,slurm", "cluster: one sweep has one cluster"),
        ("runs_per_job=0", "runs_per_job=0: must be at least 1, or null"),
    ],
)
def test_a_wrong_cluster_is_refused(run, tmp_path, argument, says):
    outcome = run(*SWEEP, argument)
    assert outcome.status == 2 and outcome.err.startswith(f"mmoe-repro: {says}")
    assert list(tmp_path.iterdir()) == []


def test_a_launcher_says_what_an_interrupt_did_to_its_jobs(run, launched, monkeypatch):
    def interrupted(self, job_overrides, initial_job_idx):
        raise KeyboardInterrupt("its jobs are cancelled")

    monkeypatch.setattr(OtherLauncher, "launch", interrupted)
    outcome = run(*LAUNCHED)
    assert outcome.status == 130
    assert outcome.err.splitlines()[-1] == "mmoe-repro: its jobs are cancelled; the same command goes on from here"
