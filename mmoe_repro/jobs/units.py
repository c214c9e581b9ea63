"""Missing chunks as work units: which there are, how jobs of a launcher share them, and whether they are stored.

Only the process that plans a sweep looks for what is missing. A job of a launcher gets the names of its units, and
reads the settings of their cells from their stores.
"""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.utils import instantiate

from mmoe_repro.errors import UsageError
from mmoe_repro.jobs.rehearsal import sources_of
from mmoe_repro.processes import one_thread
from mmoe_repro.runs.store import CellStore, stored_cell
from mmoe_repro.settings.cell import Cell
from mmoe_repro.settings.job import Job
from mmoe_repro.training.chunk import open_store, population
from mmoe_repro.training.progress import ProgressBar
from mmoe_repro.training.workers import Assignment

#: Seconds that a job is to take: long beside its start, short beside a queue's patience.
JOB_SECONDS = 600.0
#: Jobs of one launch at most, where `runs_per_job` does not say: Slurm's default limit of an array.
MOST_JOBS = 1_000


def missing(jobs: Sequence[Job], stores: dict[str, CellStore]) -> tuple[list[Assignment], list[Path]]:
    """What has yet to be trained for the jobs' runs to be there, in the order of the jobs.

    Args:
        jobs: of the sweep.
        stores: of its cells, by identity.

    Returns:
        the chunks, and the new names of damaged files, whose chunks are among them.
    """
    seeds: dict[str, set[int]] = {}
    for job in jobs:
        seeds.setdefault(job.cell.identity, set()).update(job.seeds, job.tuning_seeds)
    cells = {job.cell.identity: job.cell for job in jobs}
    units, aside = [], []
    for identity, of_cell in seeds.items():
        chunks, damaged = stores[identity].missing(of_cell)
        units += [Assignment(stores[identity], cells[identity], chunk) for chunk in chunks]
        aside += damaged
    return units, aside


def name(unit: Assignment) -> str:
    """What a job's overrides call a unit."""
    return f"{unit.cell.identity}:{unit.chunk[0]}"


def recall(names: Sequence[str], results: Path) -> list[Assignment]:
    """The units of these names.

    Raises:
        UsageError: a user's own file is not what it was when the units were named.
    """
    stores: dict[str, CellStore] = {}
    cells: dict[str, Cell] = {}
    units = []
    for one in names:
        identity, _, first = one.rpartition(":")
        if identity not in cells:
            cell = cells[identity] = stored_cell(results, identity)
            _check_unchanged(cell)
            stores[identity] = open_store(results, cell)
        units.append(Assignment(stores[identity], cells[identity], *stores[identity].chunks([int(first)])))
    return units


def _check_unchanged(cell: Cell) -> None:
    """Refuse own code that would train another cell than the one whose name it would be stored under."""
    if not cell.sources:
        return
    now = sources_of(cell.model.settings, cell.data.settings)
    if changed := sorted(name for name in {*now, *cell.sources} if now.get(name) != cell.sources.get(name)):
        raise UsageError(f"{', '.join(changed)}: not what the sweep was begun with; the same command starts it anew")


def share_out(units: Sequence[Assignment], runs_per_job: int | None, cores: int) -> list[list[Assignment]]:
    """Put units into jobs, neighbours together: they are often of one cell, whose step a job compiles once.

    Args:
        units: what is missing.
        runs_per_job: how many runs a job trains, in whole chunks; None for what takes it about `JOB_SECONDS`, by
            measuring.
        cores: that a job has.
    """
    if runs_per_job is None:
        measured = _Seconds()
        sizes = [measured(unit) / cores for unit in units]
        enough = max(JOB_SECONDS, sum(sizes) / MOST_JOBS)
    else:
        sizes, enough = [float(len(unit.chunk)) for unit in units], float(runs_per_job)
    jobs: list[list[Assignment]] = []
    size = enough
    for unit, of_unit in zip(units, sizes, strict=True):
        if size + of_unit / 2 > enough:  # what is nearest to enough
            jobs.append([])
            size = 0.0
        jobs[-1].append(unit)
        size += of_unit
    return jobs


class _Seconds:
    """Seconds that a chunk takes one core: of a few steps, measured once for each network, batch and chunk size."""

    def __init__(self) -> None:
        self._of_a_step: dict[object, float] = {}

    def __call__(self, unit: Assignment) -> float:
        cell, size = unit.cell, len(unit.chunk)
        settings = json.dumps([dict(cell.model.settings), cell.training.batch_size, size], default=str)
        if settings not in self._of_a_step:
            # Settings that change no shape change no time.
            shapes = tuple(tuple(one.shape) for one in instantiate(cell.model.settings).parameters())
            key = (cell.model.settings["_target_"], shapes, cell.training.batch_size, size)
            if key not in self._of_a_step:
                self._of_a_step[key] = _measure(unit)
            self._of_a_step[settings] = self._of_a_step[key]
        return self._of_a_step[settings] * cell.training.steps


def _measure(unit: Assignment) -> float:
    with one_thread():
        runs = population(unit.cell, unit.chunk)
        runs.advance()  # traces the step
        started, steps = time.monotonic(), runs.step
        if not runs.finished:
            runs.advance()
        return (time.monotonic() - started) / max(runs.step - steps, 1)


@contextmanager
def followed(units: Sequence[Assignment], bar: ProgressBar) -> Iterator[None]:
    """Show on `bar` which of the units are stored, whoever trains them, for as long as a `with` block lasts."""
    ended = threading.Event()
    follower = threading.Thread(target=_follow, args=(units, bar, ended), daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()


def _follow(units: Sequence[Assignment], bar: ProgressBar, ended: threading.Event) -> None:
    left: dict[str, list[Assignment]] = {}
    for unit in units:
        left.setdefault(unit.cell.identity, []).append(unit)
    pause = 1.0
    while not ended.wait(pause):
        started = time.monotonic()
        for identity, of_cell in list(left.items()):
            try:
                finished = of_cell[0].store.finished()
            except OSError:  # a network file system that does not answer now
                continue
            done = [unit for unit in of_cell if unit.chunk in finished]
            bar.progress(sum(len(unit.chunk) * unit.cell.training.steps for unit in done))
            left[identity] = [unit for unit in of_cell if unit.chunk not in finished]
            if not left[identity]:
                del left[identity]
        # Listing a thousand folders takes a file server's time: not more than a twentieth of it.
        pause = max(1.0, 20 * (time.monotonic() - started))
