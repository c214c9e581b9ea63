import gc
import importlib
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

import pandas as pd
import pytest
import torch

from mmoe_repro import cli
from mmoe_repro.commands import sweep
from mmoe_repro.settings.own_code import is_own_module
from mmoe_repro.views import figure_files

torch.set_num_threads(1)


def pytest_collection_finish():
    """Keep Python's collector from walking all that was imported again and again, a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


@pytest.fixture(autouse=True, scope="module")
def program_unchanged():
    """What tests of a file replace in the program they put back, or tests of other files would test that."""

    def defined():
        modules = [module for name, module in sys.modules.items() if name.startswith("mmoe_repro")]
        return {
            f"{module.__name__}.{name}": value
            for module in modules
            for name, value in vars(module).items()
            if isinstance(value, FunctionType | type)
        }

    before = defined()
    yield
    after = defined()
    assert [name for name, value in before.items() if after.get(name) is not value] == []


@dataclass
class Outcome:
    status: int
    out: str
    err: str


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command line inside this process, in an empty folder."""

    def run_here(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["mmoe-repro", *arguments])
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setattr(sweep, "_sweep", None)
        # Drawing takes longest by far; `process` draws, and test_figures.py looks at every figure.
        monkeypatch.setattr(figure_files, "save", lambda folder, *_: [folder / "curves.png"])
        capsys.readouterr()
        try:
            status = cli.main()
        except SystemExit as exit_:
            status = exit_.code or 0
        return Outcome(status, *capsys.readouterr())

    return run_here


@pytest.fixture
def process(tmp_path):
    """Run the installed console command as a process of its own, in an empty folder."""

    def run_process(*arguments, command=("mmoe-repro",), **options):
        environment = {**os.environ, **options.pop("env", {})}
        done = subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            **options,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run_process


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder of a user's own, from which modules are imported anew in every test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(**files):
        for name, content in files.items():
            path = tmp_path / f"{name.replace('__', '/').replace('/init', '/__init__')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(content))
        importlib.invalidate_caches()

    yield write
    for name in set(sys.modules) - before:
        if is_own_module(sys.modules[name]):
            del sys.modules[name]


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """What two sweeps have to agree on to the bit."""
    runs = pd.read_parquet(folder / "runs.parquet").drop(columns="seconds")
    return {
        "runs": runs,
        "curves": pd.read_parquet(folder / "curves.parquet"),
        "losses": pd.read_csv(folder / "losses.csv"),
    }


def assert_same(first: Path, second: Path) -> None:
    for (name, one), other in zip(tables(first).items(), tables(second).values(), strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True, obj=name)
