"""The guides, followed to the letter."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from helpers import SMALL

import mmoe_repro

GUIDE = Path(__file__).parents[1] / "docs" / "your_own.md"
#: What the guide's commands leave to their defaults, so that they take seconds.
SHORT = (
    "workers=1",
    "runs=5",
    "training.steps=100",
    "training.window=50",
    "training.batch_size=32",
    "data.correlation=0.5",
)


@pytest.mark.slow
def test_ones_own_model_law_tasks_and_features(process, tmp_path):
    blocks = re.findall(r"```(\w*)\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    commands = []
    for language, content in blocks:
        if language:
            path = tmp_path / content.splitlines()[0].removeprefix("# ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        else:
            commands += content.splitlines()
    assert len(commands) == 3
    for command in commands:
        outcome = process(*shlex.split(command), *SHORT, command=())
        assert outcome.status == 0, outcome.err
    models = pd.read_parquet(tmp_path / "results/sweep/runs.parquet").groupby("model")
    assert models["dead_units"].apply(lambda column: column.isna().all()).to_dict() == {"mmoe": False, "my_net": True}
    laws = pd.read_parquet(tmp_path / "results/my_law/runs.parquet")
    assert set(laws["data"]) == {"my_law"} and set(laws["model"]) == {"shared_bottom", "mmoe"}
    tasks = pd.read_parquet(tmp_path / "results/four_tasks/runs.parquet")
    assert set(tasks["task"]) == {1, 2, 3, 4}


def test_the_guide_is_one_page():
    assert len(GUIDE.read_text(encoding="utf-8").splitlines()) <= 100


@pytest.mark.slow
def test_the_page_about_python_is_true(run, tmp_path):
    """Its examples run, and it describes every column."""
    assert run("sweep", "model=mmoe", "data.correlation=0.5,1", *SMALL, "runs=2").status == 0
    text = (GUIDE.parent / "api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})  # in the sweep's folder
    for name, table in mmoe_repro.load(tmp_path / "results/sweep")._asdict().items():
        for column in table.columns:
            assert f"`{column}`" in text, (name, column)
