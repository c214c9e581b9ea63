"""The package from Python."""

import subprocess
import sys

import pandas as pd
import pytest
from helpers import SMALL

import mmoe_repro
from mmoe_repro.errors import UsageError

SETTINGS = [one for one in SMALL if not one.startswith("workers")]


@pytest.mark.slow
def test_a_trained_cell_has_the_bits_of_a_sweep_and_its_tables_load(run, tmp_path):
    cell = ("model=omoe", "data.correlation=0.9", *SETTINGS)
    assert run("sweep", *cell, "runs=3", "seed=8").status == 0
    tables = mmoe_repro.load(tmp_path / "results/sweep")
    trained = mmoe_repro.train(*cell, "runs=3", "seed=8")
    for one, other in zip(trained, tables, strict=False):
        columns = [column for column in one.columns if column != "seconds"]
        pd.testing.assert_frame_equal(one[columns], other[columns], check_exact=True)
    assert set(trained.runs["seed"]) == {8, 9, 10}
    assert set(tables.losses["model"]) == {"omoe"} and len(tables.verdicts) == 9


def test_a_model_of_ones_own_is_trained(tmp_path, monkeypatch):
    (tmp_path / "nets.py").write_text(
        "import torch\n\n\nclass Net(torch.nn.Linear):\n    def __init__(self, features, tasks):\n"
        "        super().__init__(features, tasks)\n"
    )
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/net.yaml").write_text(
        "_target_: nets.Net\nfeatures: ${data.dimension}\ntasks: ${data.tasks}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    trained = mmoe_repro.train("model=net", *SETTINGS, "runs=2", config_dir=tmp_path / "conf")
    assert len(trained.runs) == 2 * 2 and trained.runs["final_loss"].notna().all()


def test_mistakes_are_named(tmp_path):
    with pytest.raises(UsageError, match="no results of a sweep"):
        mmoe_repro.load(tmp_path)
    with pytest.raises(UsageError, match=r"training\.window"):
        mmoe_repro.train("training.window=7", "training.steps=10")


def test_the_package_itself_brings_no_torch():
    code = "import sys, mmoe_repro; print('torch' in sys.modules, mmoe_repro.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", mmoe_repro.__version__]
