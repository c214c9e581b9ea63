"""`mmoe-repro sweep`: check every job, train what is missing, leave tables and figures."""

import json
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mmoe_repro.cell import open_store, population, versions
from mmoe_repro.checks import check_law, check_model, make
from mmoe_repro.config import Job, read_job
from mmoe_repro.errors import UsageError
from mmoe_repro.progress import ProgressBar
from mmoe_repro.results import SweptCell, curves_table, gates_table, load, merge, record, runs_table
from mmoe_repro.store import CellStore, write_atomically, write_settings, write_table
from mmoe_repro.workers import Task, cores, train


class Sweep:
    """The jobs of the command that this process runs."""

    def __init__(self) -> None:
        self.planned: list[Job] = []
        self.launched: list[Job] = []


#: Set by `plan`; stays None in a process that a launcher started for single jobs.
_sweep: Sweep | None = None


def plan(jobs: Sequence[Sequence[str]], compose: Callable[[Sequence[str]], DictConfig]) -> None:
    """Compose and check all jobs before the first one starts.

    Raises:
        UsageError: of a setting out of range, a model that cannot be trained, a device that is not there.
    """
    global _sweep
    _sweep = Sweep()
    for overrides in jobs:
        config = compose(overrides)
        _sweep.planned.append(_read(config, config.hydra))
    if len({job.results for job in _sweep.planned}) > 1:
        raise UsageError("name: one sweep has one name")
    checked: list[Any] = []
    for job in _sweep.planned:
        if job.cell.device == "cuda" and not torch.cuda.is_available():
            raise UsageError("training.device=cuda: there is no CUDA device here; use training.device=cpu")
        law = make("data", job.cell.data, job.cell.settings["data"])
        if job.cell.settings["data"] not in checked:
            check_law(job.cell.data, law)
        checked.append(job.cell.settings["data"])
        shapes = (job.cell.settings["model"], law.dimension, law.tasks)
        if shapes not in checked:
            check_model(job.cell.model, job.cell.settings["model"], law, partial(population, job.cell, range(2)))
        checked.append(shapes)


def _read(config: DictConfig, hydra: Any) -> Job:
    if config.training.device == "auto":
        config.training.device = "cuda" if torch.cuda.is_available() else "cpu"
    return read_job(config, hydra.runtime.choices, Path(hydra.sweep.dir), list(hydra.overrides.task))


def run_job(config: DictConfig) -> None:
    """Hydra's task: note the job, to be trained with all others, or train it in a launcher's own process."""
    job = _read(config, HydraConfig.get())
    if _sweep is not None:
        _sweep.launched.append(job)
    else:
        # Beside other jobs of the launcher, which decides how many run at once.
        _tell(_train([job if job.workers else replace(job, workers=1)], _open([job])))


def finish(command: list[str]) -> int:
    """Train what Hydra launched, then write and show the results; return the exit status."""
    if _sweep is None:
        raise UsageError("hydra/sweeper: only the built-in sweeper plans a sweep")
    jobs = _sweep.planned
    results = jobs[0].results
    try:
        stores = _open(jobs)
    except OSError as error:
        raise UsageError(f"cannot write to {error.filename or results}: {error.strerror}") from None
    failures = []
    try:
        failures += _train(_sweep.launched, stores)
        missing = _write(merge(jobs), stores, command, jobs[0])
        if missing:
            failures.append(f"{missing} runs are missing; the same command goes on from here")
    except OSError as error:
        failures.append(f"cannot write to {error.filename or results}: {error.strerror}; what is stored is safe")
    _tell(failures)
    return 1 if failures else 0


def _open(jobs: Sequence[Job]) -> dict[str, CellStore]:
    """Open the store of every cell, by its identity, and tell what is odd about it."""
    stores: dict[str, CellStore] = {}
    for job in jobs:
        identity = job.cell.identity
        if identity in stores:
            continue
        store = stores[identity] = open_store(job.results, job.cell)
        if store.damaged_record is not None:
            _tell([f"{store.damaged_record} was damaged; it is set aside under this name"])
        if store.versions != versions():
            was = ", ".join(f"{name} {number}" for name, number in store.versions.items())
            _tell([f"{identity} was begun with {was}; runs added now may differ from those in the last bits"])
    return stores


def _tell(lines: Sequence[str]) -> None:
    for line in dict.fromkeys(lines):
        print(f"mmoe-repro: {line}", file=sys.stderr)


def _train(jobs: Sequence[Job], stores: dict[str, CellStore]) -> list[str]:
    """Train what is not stored yet; return what went wrong, a line each."""
    if not jobs:
        return []
    lines = []
    tasks: dict[tuple[str, int], Task] = {}
    for job in jobs:
        store = stores[job.cell.identity]
        for chunk in store.chunks([*job.seeds, *job.tuning_seeds]):
            if (aside := store.set_damaged_aside(chunk)) is not None:
                _tell([f"{aside} was damaged; it is set aside under this name and its runs are trained again"])
            if store.find(chunk) is None:
                tasks[job.cell.identity, chunk[0]] = Task(store, job.cell, chunk)
    if not tasks:
        return []
    # One process keeps a GPU busy.
    workers = 1 if any(task.cell.device == "cuda" for task in tasks.values()) else jobs[0].workers or cores()
    runs = sum(len(task.chunk) for task in tasks.values())
    steps = sum(len(task.chunk) * task.cell.settings["training"]["steps"] for task in tasks.values())
    with ProgressBar(f"{runs:,} runs", steps) as bar:
        for task, error in train(list(tasks.values()), workers, bar):
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            if isinstance(error, OSError):
                lines.append(f"cannot write to {task.store.folder}: {error.strerror or reason}; what is stored is safe")
            else:
                lines.append(f"{task.cell.identity} failed: {reason}")
    return lines


def _write(
    cells: list[SweptCell],
    stores: dict[str, CellStore],
    command: list[str],
    of_all: Job,
) -> int:
    """Write the tables and figures from what is stored, and show them; return how many runs are missing.

    Args:
        cells: of the sweep.
        stores: theirs, by identity.
        command: that repeats the sweep.
        of_all: a job, for what all of them have in common.
    """
    results, paper_loss = of_all.results, of_all.paper_loss
    # Not before the training: they take memory that it may need.
    from mmoe_repro import figures, plots, tables, verdicts
    from mmoe_repro.report.conclusions import conclude
    from mmoe_repro.report.page import Swept

    runs, curves, gates, tuning, missing = [], [], [], [], 0
    complete = []
    for cell in cells:
        store = stores[cell.cell.identity]
        stored, without = load(store, cell.seeds)
        tuned, without_tuning = load(store, cell.tuning_seeds)
        missing += len(without) + len(without_tuning)
        if stored.empty:
            continue
        complete.append(cell)
        runs.append(runs_table(cell, stored))
        curves.append(curves_table(cell, stored))
        gates.append(gates_table(cell, stored))
        if not tuned.empty:
            tuning.append(runs_table(cell, tuned))
    if not complete:
        return missing
    runs_all, curves_all, gates_all = (pd.concat(parts, ignore_index=True) for parts in (runs, curves, gates))
    tuning_all = pd.concat(tuning, ignore_index=True) if tuning else pd.DataFrame()
    chosen = tables.choose_rates(complete, tuning_all)
    losses = tables.losses_table(complete, runs_all, chosen)
    write_table(results / "runs.parquet", runs_all)
    write_table(results / "curves.parquet", curves_all)
    write_table(results / "losses.csv", losses)
    for name, table in (("gates", gates_all), ("tuning", tuning_all)):
        if table.empty:
            (results / f"{name}.parquet").unlink(missing_ok=True)  # of an earlier command
        else:
            write_table(results / f"{name}.parquet", table)
    write_atomically(results / "losses.md", tables.as_markdown(losses).encode())
    write_settings(results / "config.yaml", record(complete, results, command, paper_loss))
    environment = {**versions(), "platform": platform.platform(), "cores": cores()}
    write_atomically(results / "environment.json", (json.dumps(environment, indent=2) + "\n").encode())
    series = plots.series_of(complete, chosen)
    drawn = figures.draw(results / "figures", complete, series, runs_all, curves_all, gates_all, paper_loss)
    swept = Swept(complete, chosen, runs_all, curves_all, losses, command, environment, paper_loss)
    table = conclude(results, swept, of_all.claims)
    print(tables.as_text(losses))
    if paper_loss != 1:
        print(f"A loss of the paper is taken to be {paper_loss:g} of these squared errors (paper_loss)\n")
    print(verdicts.as_text(table, command))
    _print_next_steps(losses, drawn, results)
    return missing


def _print_next_steps(losses: pd.DataFrame, figures: list[Path], results: Path) -> None:
    print(f"Page     {results}/report.html: verdicts, losses, curves, stuck runs, settings")
    print(f"Figures  {', '.join(figure.stem for figure in figures)}: {figures[0].parent}/*.png, *.svg")
    print(f"Tables   {results}/losses.md, verdicts.md, losses.csv, verdicts.csv, runs.parquet, curves.parquet")
    if losses["chosen"].isna().any():
        print("Rates    none chosen: add tuning_runs=50 to choose the learning rate on runs of their own")
    print("Next     mmoe-repro sweep model=mmoe,omoe data.correlation=0.2,0.8 name=mine   another grid")
    print("         mmoe-repro sweep --help                                              every setting")
