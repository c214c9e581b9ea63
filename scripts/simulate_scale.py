"""What a sweep of many runs asks of its folder and of the process that plans and merges it, with made-up chunks.

    python scripts/simulate_scale.py                           100,000 runs of 100 cells, in a few minutes
    python scripts/simulate_scale.py --cells 20 --runs 200     a look

Each phase is in a process of its own: its seconds of processor time, and the most memory that it had.

- `plan`: compose and check the settings of all cells, open their stores, find what is missing, share it out to jobs.
- `list`: look once which of the chunks are stored, as the progress bar does.
- `merge`: compose the settings again, put the stored runs together and write the tables.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from hydra import compose, initialize_config_dir

from mmoe_repro.jobs import units
from mmoe_repro.jobs.checks import check_jobs
from mmoe_repro.jobs.from_config import read_job
from mmoe_repro.runs.results import gather, merge, write_sweep
from mmoe_repro.runs.store import CellStore
from mmoe_repro.settings.job import Job
from mmoe_repro.settings.schema import folder, register
from mmoe_repro.training.chunk import open_store
from mmoe_repro.training.workers import Assignment

WINDOWS, TASKS, EXPERTS = 100, 2, 8
#: Runs that are not made, so that something is missing.
LEFT = 20


def jobs(results: Path, cells: int, runs: int) -> list[Job]:
    """A job for each cell of MMoE, which differ in their learning rate."""
    register()
    made = []
    with initialize_config_dir(str(folder()), version_base="1.3"):
        for number in range(cells):
            overrides = [f"training.learning_rate={(number + 1) / 1e5}", f"runs={runs}", "model=mmoe"]
            config = compose("sweep", overrides, return_hydra_config=True)
            made.append(read_job(config, config.hydra.runtime.choices, results, overrides))
    return made


def opened(planned: Sequence[Job]) -> dict[str, CellStore]:
    return {job.cell.identity: open_store(job.results, job.cell) for job in planned}


def make(results: Path, cells: int, runs: int) -> None:
    """Store chunks of made-up runs, but for the last few."""
    planned = jobs(results, cells, runs)
    found, _ = units.missing(planned, opened(planned))
    generator = np.random.default_rng(0)
    for unit in found[: -LEFT // 10]:
        unit.store.save(unit.chunk, made_up(unit, generator))


def made_up(unit: Assignment, generator: np.random.Generator) -> pd.DataFrame:
    """Runs as `training/chunk.py` stores them."""
    rows = len(unit.chunk) * TASKS
    table = pd.DataFrame(
        {"seed": np.repeat(unit.chunk, TASKS), "task": np.tile(np.arange(1, TASKS + 1), len(unit.chunk))}
    )
    numbers = ("initial_loss", "final_loss", "test_loss", "dead_units", "gate_entropy", "gate_divergence")
    for name in (*numbers, "experts_used", "seconds"):
        table[name] = generator.random(rows)
    lists = {"gate_weights": EXPERTS, "curve": WINDOWS, "first_losses": WINDOWS}
    columns = {name: list(generator.random((rows, size), dtype=np.float32)) for name, size in lists.items()}
    return table.assign(diverged=False, stuck=False, processor="One, AVX512", **columns)


def plan(results: Path, cells: int, runs: int) -> str:
    planned = jobs(results, cells, runs)
    check_jobs(planned)
    found, _ = units.missing(planned, opened(planned))
    launched = units.share_out(found, 10, cores=1)
    return f"{sum(len(unit.chunk) for unit in found)} runs are missing, for {len(launched)} jobs"


def listing(results: Path, cells: int, runs: int) -> str:
    files = [len(list(entry.iterdir())) for entry in (results / "cells").iterdir()]
    return f"{sum(files):,} files in {len(files):,} folders"


def merging(results: Path, cells: int, runs: int) -> str:
    planned = jobs(results, cells, runs)
    swept, missing = gather(merge(planned), opened(planned), results, [], {}, 1.0)
    write_sweep(results, swept)
    size = sum(path.stat().st_size for path in results.glob("*.parquet"))
    curves = pq.read_metadata(results / "curves.parquet").num_rows
    return f"{curves:,} rows of curves, {missing} runs are missing, tables of {size / 1e6:.0f} MB"


def measured(phase: str, results: Path, cells: int, runs: int) -> str:
    started = time.process_time()
    says = {"plan": plan, "list": listing, "merge": merging}[phase](results, cells, runs)
    seconds, memory = time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return f"{phase:6}{seconds:7.1f} s  {memory:5.2f} GB  {says}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--runs", type=int, default=1000, help="of each cell")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as temporary:
        sizes = (Path(temporary), arguments.cells, arguments.runs)
        started = time.monotonic()
        with context.Pool(1) as pool:
            pool.apply(make, sizes)
        print(f"{arguments.cells * arguments.runs:,} runs made up in {time.monotonic() - started:.0f} s")
        for phase in ("plan", "list", "merge"):
            with context.Pool(1) as pool:
                print(pool.apply(measured, (phase, *sizes)), flush=True)


if __name__ == "__main__":
    main()
