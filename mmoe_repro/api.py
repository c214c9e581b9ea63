"""Sweeps from Python: their tables as DataFrames, and a cell trained in this process."""

import tempfile
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from hydra import compose, initialize_config_dir

from mmoe_repro.jobs.checks import check_jobs
from mmoe_repro.jobs.from_config import read_job
from mmoe_repro.processes import one_thread
from mmoe_repro.runs.results import gather, merge, read_curves, read_losses, read_sweep, read_verdicts
from mmoe_repro.settings.schema import folder, register
from mmoe_repro.training.chunk import open_store, train_chunk, versions


class Tables(NamedTuple):
    """The tables of a sweep; their columns are described in `docs/api.md`.

    Attributes:
        runs: a row for each run and task.
        curves: a row for each run, task and window of steps.
        losses: a row for each cell, task and loss: mean, sd and others with their intervals.
        verdicts: a row for each claim of the paper, and group of cells that is judged apart.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    losses: pd.DataFrame
    verdicts: pd.DataFrame


class Trained(NamedTuple):
    """The runs of a cell, as in `Tables`."""

    runs: pd.DataFrame
    curves: pd.DataFrame


def load(results: str | PathLike[str]) -> Tables:
    """The tables that a sweep left.

    Args:
        results: its folder, such as `results/sweep`.

    Raises:
        UsageError: the folder holds no sweep.
    """
    where = Path(results)
    swept = read_sweep(where)
    return Tables(swept.runs, read_curves(where), read_losses(where), read_verdicts(where))


class _Silent:
    """A `Listener` that shows nothing."""

    def progress(self, run_steps: int) -> None:
        """Show nothing."""

    def at_work(self, what: str) -> None:
        """Show nothing."""

    def notice(self, message: str) -> None:
        """Show nothing."""

    def stopping(self) -> bool:
        """Never stop."""
        return False


def train(*overrides: str, config_dir: str | PathLike[str] | None = None) -> Trained:
    """Train the runs of one cell in this process, on one thread; store nothing.

    The same settings give the same bits as `mmoe-repro sweep` does on the same machine.

    Args:
        overrides: as on the command line of `mmoe-repro sweep`, such as `"model=mmoe"`, `"data.correlation=0.5"` or
            `"runs=10"`; one value each, no lists to sweep.
        config_dir: a folder with a user's own `model/`, `data/`, … options.

    Raises:
        UsageError: a setting is out of range, or the model cannot be trained as a population.
        hydra.errors.HydraException: there is no such setting or option.
    """
    register()
    search_path = [] if config_dir is None else [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"]
    with initialize_config_dir(str(folder()), version_base="1.3"):
        config = compose("sweep", [*overrides, *search_path], return_hydra_config=True)
    with tempfile.TemporaryDirectory() as results, one_thread():
        job = read_job(config, _plain(config.hydra.runtime.choices), Path(results), list(overrides))
        check_jobs([job])
        store = open_store(job.results, job.cell)
        for chunk in store.chunks(job.seeds):
            train_chunk(store, job.cell, chunk, _Silent())
        stores = {job.cell.identity: store}
        swept, _ = gather(merge([job]), stores, job.results, ["mmoe_repro.train"], versions(), job.paper_loss)
        return Trained(swept.runs, read_curves(job.results))


def _plain(choices: Mapping[str, str]) -> dict[str, str]:
    return {str(group): option for group, option in choices.items()}
