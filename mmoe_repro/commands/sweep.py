"""`mmoe-repro sweep`: check every job, train what is missing, leave tables and figures."""

import platform
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from mmoe_repro.commands.sweep_header import sweep_header
from mmoe_repro.compiler import untested_release
from mmoe_repro.errors import DrawingError, UsageError, one_line, short_of_memory, told
from mmoe_repro.jobs import units
from mmoe_repro.jobs.checks import check_jobs
from mmoe_repro.jobs.from_config import read_job
from mmoe_repro.processes import Workers, cores
from mmoe_repro.runs.files import check_locks
from mmoe_repro.runs.results import gather, merge, write_sweep
from mmoe_repro.runs.store import CellStore, finished_chunks
from mmoe_repro.settings.cell import Cell
from mmoe_repro.settings.hydra_errors import lacking_setting
from mmoe_repro.settings.job import Job
from mmoe_repro.training.chunk import is_long, open_store, versions
from mmoe_repro.training.progress import ProgressBar
from mmoe_repro.training.workers import Assignment, train

#: Launches jobs of these overrides and gives what became of each.
Launch = Callable[[Sequence[Sequence[str]]], Sequence[JobReturn]]


@dataclass
class Sweep:
    """The command that this process runs.

    Attributes:
        jobs: all that it asks for.
        overrides: of the first job of each cell, by identity.
        finished: the files of its finished chunks when it was planned, by cell and by their seeds.
        cores: that each job of a launcher has.
        stores: of its cells, by identity.
        failures: what went wrong, a line each.
    """

    jobs: list[Job]
    overrides: Mapping[str, Sequence[str]]
    finished: Mapping[str, Mapping[range, Path]]
    cores: int
    stores: dict[str, CellStore] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


#: Set by `plan`; stays None in a process that a launcher started for single jobs.
_sweep: Sweep | None = None


def plan(jobs: Sequence[Sequence[str]], compose: Callable[[Sequence[str]], DictConfig]) -> None:
    """Compose and check all jobs before the first one starts.

    Raises:
        UsageError: of a setting out of range, a model that cannot be trained, a device that is not there.
    """
    global _sweep
    planned: list[Job] = []
    first: dict[str, Sequence[str]] = {}
    cores_of_a_job = 1
    for overrides in jobs:
        try:
            config = compose(overrides)
        except (HydraException, OmegaConfBaseException):
            if (without := lacking_setting(overrides, jobs)) is not None:
                raise UsageError(without) from None
            raise
        job = _read(config, overrides)
        planned.append(job)
        first.setdefault(job.cell.identity, overrides)
        cores_of_a_job = job.workers or _cores_of_a_job(config.hydra.launcher)
    if len({job.results for job in planned}) > 1:
        raise UsageError("name: one sweep has one name")
    finished = {identity: finished_chunks(planned[0].results / "cells" / identity) for identity in first}
    lacking = [one for one in planned if {*one.seeds, *one.tuning_seeds}.difference(*finished[one.cell.identity])]
    check_jobs(lacking)  # what has been trained was checked before
    _sweep = Sweep(planned, first, finished, cores_of_a_job)


def announce(grid: bool, here: bool) -> None:
    """Say what the planned jobs come to, before any work.

    Args:
        grid: whether each cell has a line.
        here: whether this process trains them, and not a launcher's.
    """
    sweep = _planned()
    jobs = sweep.jobs
    workers = _workers([job.cell for job in jobs], jobs[0].workers) if here else None
    print(sweep_header(jobs, sweep.finished, workers, grid), flush=True)


def _workers(cells: Iterable[Cell], asked: int | None) -> int:
    """Processes that train side by side; one keeps a GPU busy."""
    return 1 if any(cell.training.device == "cuda" for cell in cells) else asked or cores()


def _read(config: DictConfig, overrides: Sequence[str]) -> Job:
    if config.training.device == "auto":
        config.training.device = "cuda" if torch.cuda.is_available() else "cpu"
    return read_job(config, config.hydra.runtime.choices, Path(config.hydra.sweep.dir), overrides)


def _cores_of_a_job(launcher: Any) -> int:
    """What submitit's or Ray's launcher asks for; of another, which runs jobs side by side on this machine, one."""
    of_ray = (launcher.get("ray") or {}).get("remote") or {}
    return int(launcher.get("cpus_per_task") or of_ray.get("num_cpus") or 1)


def work(launch: Launch | None) -> None:
    """Train what the planned jobs lack, here or, given a launcher, in jobs of its own; `finish` tells what went wrong.

    Raises:
        UsageError: the results cannot be written, or cannot be shared with other machines.
    """
    sweep = _planned()
    jobs = sweep.jobs
    try:
        sweep.stores = _open(jobs)
        if jobs[0].train:
            check_locks(jobs[0].results)
    except OSError as error:
        raise UsageError(told(error)) from None
    try:
        if jobs[0].report_rates == "chosen":
            if jobs[0].train:
                sweep.failures += _train([replace(job, seeds=range(0)) for job in jobs], launch)
            refused = _refused_rates(jobs, sweep.stores)
            sweep.jobs = [replace(job, seeds=range(0)) if job.cell.identity in refused else job for job in jobs]
        if jobs[0].train:
            sweep.failures += _train(sweep.jobs, launch)
    except OSError as error:
        sweep.failures.append(_refused(error))


def _planned() -> Sweep:
    if _sweep is None:
        raise UsageError("hydra/sweeper: only the built-in sweeper plans a sweep")
    return _sweep


def _refused(error: OSError) -> str:
    return f"{told(error)}; what is stored is safe"


def run_job(config: DictConfig) -> list[str]:
    """Hydra's task, in a launcher's own process: train the units that the job got; return what went wrong."""
    hydra = HydraConfig.get()
    names = getattr(hydra.sweeper, "units", [])
    if not names:
        _planned()
    cwd = Path(hydra.runtime.cwd)
    sys.path.append(str(cwd))  # where a user's own modules lie
    assigned = units.recall(names, cwd / hydra.sweep.dir)
    with _bar(assigned) as bar:
        failed = train(assigned, _workers((unit.cell for unit in assigned), config.workers), bar)
    for _, error in failed:
        traceback.print_exception(error)  # into the job's log
    return [_line(unit, error) for unit, error in failed]


def finish(command: list[str]) -> int:
    """Write and show the results as far as they are stored; return the exit status."""
    sweep = _planned()
    try:
        from mmoe_repro.commands.outputs import as_only_writer

        with as_only_writer(sweep.jobs[0].results):
            missing = _write(sweep.jobs, sweep.stores, command)
        if missing and sweep.jobs[0].train:
            sweep.failures.append(f"{missing} runs are missing; the same command goes on from here")
        elif missing:
            _warn([f"{missing} runs are not stored yet"])
    except OSError as error:
        if error.filename is None:  # of the terminal, or what it is sent to
            raise
        sweep.failures.append(_refused(error))
    _warn(sweep.failures)
    return 1 if sweep.failures else 0


def _refused_rates(jobs: Sequence[Job], stores: dict[str, CellStore]) -> set[str]:
    """The cells whose learning rate the tuning runs do not choose; none of those that lack tuning runs."""
    from mmoe_repro.findings.losses import choose_rates  # brings pandas, which composing a job does without

    cells = merge([replace(job, seeds=range(0)) for job in jobs])
    swept, _ = gather(cells, stores, jobs[0].results, [], {}, 1.0)
    return {cell for cell, chosen in choose_rates(cells, swept.tuning).items() if chosen is False}


def _open(jobs: Sequence[Job]) -> dict[str, CellStore]:
    """Open the store of every cell, by its identity, and warn of what is odd about it."""
    stores: dict[str, CellStore] = {}
    for job in jobs:
        identity = job.cell.identity
        if identity in stores:
            continue
        store = stores[identity] = open_store(job.results, job.cell)
        if store.damaged_record is not None:
            _warn([f"{store.damaged_record} was damaged; it is set aside under this name"])
        if store.versions != versions():
            was = ", ".join(f"{name} {number}" for name, number in store.versions.items())
            _warn([f"{identity} was begun with {was}; runs added now may differ from those in the last bits"])
    return stores


def _warn(lines: Sequence[str]) -> None:
    for line in dict.fromkeys(lines):
        print(f"mmoe-repro: {line}", file=sys.stderr)


def _train(jobs: Sequence[Job], launch: Launch | None) -> list[str]:
    """Train what is not stored yet; return what went wrong, a line each."""
    missing, aside = units.missing(jobs, _planned().stores)
    _warn([f"{path} was damaged; it is set aside under this name and its runs are trained again" for path in aside])
    if not missing:
        return []
    if any(is_long(unit.cell) for unit in missing) and (untested := untested_release()) is not None:
        _warn([f"{untested}; training goes without, slower"])
    if launch is not None:
        return _launch(missing, jobs, launch)
    workers = _workers((unit.cell for unit in missing), jobs[0].workers)
    with _bar(missing, jobs) as bar:
        return [_line(unit, error) for unit, error in train(missing, workers, bar)]


def _bar(assigned: Sequence[Assignment], jobs: Sequence[Job] = ()) -> ProgressBar:
    """Of the runs in the chunks that the jobs ask for; of all, where there are none but the chunks."""
    asked = {(job.cell.identity, seed) for job in jobs for seed in (*job.seeds, *job.tuning_seeds)}
    runs = sum(not asked or (unit.cell.identity, seed) in asked for unit in assigned for seed in unit.chunk)
    return ProgressBar(f"{runs:,} runs", sum(len(unit.chunk) * unit.cell.training.steps for unit in assigned))


def _line(unit: Assignment, error: BaseException) -> str:
    """What went wrong with a unit."""
    if isinstance(error, OSError):
        return _refused(error)
    lines = str(error).splitlines() or [type(error).__name__]
    reason = short_of_memory(error) or lines[0]
    return f"{unit.cell.identity} failed: {reason}"


def _launch(missing: Sequence[Assignment], asked: Sequence[Job], launch: Launch) -> list[str]:
    """Have a launcher's jobs train the units; return what went wrong, a line each."""
    sweep = _planned()
    jobs = []
    for of_job in units.share_out(missing, asked[0].runs_per_job, sweep.cores):
        names = ",".join(f"'{units.name(unit)}'" for unit in of_job)
        first = sweep.overrides[of_job[0].cell.identity]
        jobs.append([*first, f"workers={sweep.cores}", f"hydra.sweeper.units=[{names}]"])
    lines = []
    # No workers here, but SIGTERM ends the launcher's jobs as Ctrl-C does.
    with _bar(missing, asked) as bar, units.followed(missing, bar), Workers(0):
        try:
            for job in launch(jobs):
                try:
                    lines += job.return_value
                except Exception as error:
                    lines.append(one_line(error))
        except Exception as error:  # of the launcher: some end with the first job that fails, and lose the others
            lines.append(f"the launcher ended early: {one_line(error)}")
    return lines


def _write(jobs: Sequence[Job], stores: dict[str, CellStore], command: list[str]) -> int:
    """Write the tables and figures from what is stored, and show them; return how many runs are missing.

    Args:
        jobs: of the sweep.
        stores: of its cells, by identity.
        command: that repeats the sweep.
    """
    # Not before the training: they take memory that it may need.
    from mmoe_repro.commands.outputs import write_figures, write_losses, write_verdicts
    from mmoe_repro.findings.answer import about_the_paper
    from mmoe_repro.findings.sweep_findings import find
    from mmoe_repro.views.figures import pictures_of
    from mmoe_repro.views.tables import answer_text, losses_text, verdicts_text

    results, paper_loss = jobs[0].results, jobs[0].paper_loss
    environment = {**versions(), "platform": platform.platform(), "cores": cores(), "date": date.today().isoformat()}
    swept, missing = gather(merge(jobs), stores, results, command, environment, paper_loss)
    if not swept.cells:
        return missing
    if len(processors := swept.environment.get("processors", [])) > 1:
        kinds = "; ".join(processors)
        _warn([f"the runs are of {len(processors)} kinds of processor, whose last bits differ: {kinds}"])
    findings = find(swept, jobs[0].claims)
    write_sweep(results, swept)
    write_losses(results, findings)
    print(losses_text(findings.losses))
    if paper_loss != 1:
        print(f"A loss of the paper is taken to be {paper_loss:g} of these squared errors (paper_loss)\n")
    print(verdicts_text(findings.verdicts, command), flush=True)  # to be read while figures are drawn
    pictures = pictures_of(findings)
    write_verdicts(results, findings, pictures, {})
    drawn: list[Path] = []
    try:
        drawn = write_figures(results, pictures)
    except DrawingError as error:
        _planned().failures.append(str(error))
    _print_files(findings.losses, drawn, results)
    if about_the_paper(findings.verdicts):
        counts = swept.runs.groupby("cell")["seed"].nunique()
        seconds = float(swept.runs["seconds"].mean()) / cores()
        print(answer_text(findings.verdicts, command, seconds, len(counts), int(counts.min())))
    else:
        print("Next     mmoe-repro sweep model=mmoe,omoe data.correlation=0.2,0.8 name=mine")
        print("         mmoe-repro sweep --help")
    return missing


def _print_files(losses: pd.DataFrame, figures: list[Path], results: Path) -> None:
    print(f"Page     {results}/report.html")
    if figures:
        print(f"Figures  {figures[0].parent}/*.png, *.svg")
    print(f"Tables   {results}/*.csv, *.md, *.parquet")
    if losses["chosen"].isna().any():
        print("Rates    none chosen; tuning_runs=50 chooses them on runs of their own")
    print()
