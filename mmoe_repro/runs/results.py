"""What a sweep asked for, and its stored runs put together."""

import json
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import yaml
from hydra.utils import instantiate

from mmoe_repro.errors import UsageError
from mmoe_repro.runs.curves import COLUMNS, curves_by_cell, mean_curves, writing_curves
from mmoe_repro.runs.files import (
    checksum,
    read_table,
    read_text,
    reading,
    write_atomically,
    write_settings,
    write_table,
)
from mmoe_repro.runs.store import CellStore
from mmoe_repro.settings.cell import Cell, Law, read_record
from mmoe_repro.settings.job import Job

_OUTCOMES = ["initial_loss", "final_loss", "test_loss", "diverged", "stuck", "dead_units"]
_OUTCOMES += ["gate_entropy", "gate_divergence", "experts_used", "seconds"]
#: Tables of a sweep, curves aside, and columns that every version of them has.
_TABLES = {
    "runs": ("cell", "model", "seed", "task", "final_loss", "test_loss", "diverged", "stuck"),
    "gates": ("cell", "seed", "task", "expert", "weight"),
    "tuning": ("cell", "seed", "task", "test_loss", "diverged"),
}
#: Files that say what a sweep came to, which nothing but the sweep writes.
_SWEEPS_OWN = ("config.yaml", "environment.json", "losses.csv", *(f"{name}.parquet" for name in (*_TABLES, "curves")))
#: What brings a sweep's files back.
AGAIN = "repeat the sweep's command: it trains nothing anew and writes its tables again"
#: Overrides that have a column of their own, or that do not make another cell.
_NOT_SWEPT = ("model", "data", "data.correlation", "training.learning_rate")


@dataclass(frozen=True, kw_only=True)
class SweptCell(Cell):
    """A cell of a sweep with the seeds asked for.

    Attributes:
        swept: value of every key that differs between the sweep's cells, model, data, correlation and
            learning rate aside.
        seeds: of the reported runs, ascending.
        tuning_seeds: of the runs that choose the learning rate.
        label_pearson: Pearson correlation of two tasks' labels, a closed form of the law; NaN where it offers none.
    """

    swept: Mapping[str, Any]
    seeds: Sequence[int]
    tuning_seeds: Sequence[int]
    label_pearson: float = math.nan

    @property
    def keys(self) -> dict[str, Any]:
        """The columns that name the cell in every table."""
        return {
            "cell": self.identity,
            "model": self.model.name,
            "data": self.data.name,
            "correlation": self.data.correlation,
            "learning_rate": self.training.learning_rate,
            **self.swept,
        }


@dataclass(frozen=True)
class Swept:
    """A sweep's tables, and what they are of.

    Attributes:
        name: of its folder.
        cells: those of which there is at least one finished run.
        runs, gates, tuning: `runs.parquet` and so on; no rows where there is no such file.
        mean_curves: of `curves.parquet`, as `curves.mean_curves` gives them; no rows where there is no such file.
        command: that repeats the sweep.
        environment: versions and the like.
        paper_loss: how many squared errors a loss of the paper is taken to be.
    """

    name: str
    cells: Sequence[SweptCell]
    runs: pd.DataFrame
    mean_curves: pd.DataFrame
    gates: pd.DataFrame
    tuning: pd.DataFrame
    command: Sequence[str]
    environment: Mapping[str, Any]
    paper_loss: float


def merge(jobs: Sequence[Job]) -> list[SweptCell]:
    """Put the jobs of a sweep together: jobs of one cell become one, with the seeds of all."""
    overridden = [key for job in jobs for key in job.overrides]
    groups = jobs[0].cell.record()["settings"]
    swept = [
        key
        for key in dict.fromkeys(overridden)
        if key not in _NOT_SWEPT and key.split(".")[0] in groups and len({job.overrides.get(key) for job in jobs}) > 1
    ]
    by_cell: dict[str, list[Job]] = {}
    for job in jobs:
        by_cell.setdefault(job.cell.identity, []).append(job)
    return [
        SweptCell(
            **_fields(same[0].cell),
            swept={key: _value(same[0], key) for key in swept},
            seeds=sorted({seed for job in same for seed in job.seeds}),
            tuning_seeds=sorted({seed for job in same for seed in job.tuning_seeds}),
        )
        for same in by_cell.values()
    ]


def _fields(cell: Cell) -> dict[str, Any]:
    return {field.name: getattr(cell, field.name) for field in fields(Cell)}


def _value(job: Job, key: str) -> Any:
    """The job's value of a setting such as `training.batch_size`, or of a group such as `training`."""
    node: Any = job.cell.record()["settings"]
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:  # `model.weights`, of which widths are left
            return yaml.safe_load(job.overrides.get(key, "null"))
        node = node[part]
    return node if node is None or isinstance(node, int | float | bool) else job.overrides.get(key, str(node))


def load(store: CellStore, seeds: Sequence[int]) -> tuple[pd.DataFrame, list[int]]:
    """The stored runs of a cell, a row per seed and task, and the seeds that are missing."""
    finished = store.finished()
    chunks = [chunk for chunk in store.chunks(seeds) if chunk in finished]
    tables = [table for chunk in chunks if (table := store.read(chunk, finished[chunk])) is not None]
    # Thousands of small files, so they are put together first; an earlier version stored fewer columns.
    whole = pyarrow.concat_tables(tables, promote_options="default").to_pandas() if tables else None
    stored = pd.DataFrame({"seed": []}) if whole is None else whole
    stored = stored[stored["seed"].isin(seeds)].reset_index(drop=True)
    return stored, sorted(set(seeds) - set(stored["seed"]))


def runs_table(cell: SweptCell, stored: pd.DataFrame) -> pd.DataFrame:
    """A row per run and task: the keys of its cell, seed, task, and what came out."""
    return _with_keys(cell, stored.reindex(columns=["seed", "task", *_OUTCOMES]))  # an earlier version stored fewer


def curves_table(cell: SweptCell, stored: pd.DataFrame) -> pd.DataFrame:
    """A row per run, task and window; `step` is the window's first."""
    table = _entries(stored, "curve", "step", "loss")
    table["step"] *= cell.training.window
    return _with_keys(cell, table)


def gates_table(cell: SweptCell, stored: pd.DataFrame) -> pd.DataFrame:
    """A row per run, task and expert, counted from 1, with its mean gate weight; none for a model without gates."""
    table = _entries(stored, "gate_weights", "expert", "weight")
    table["expert"] += 1
    return _with_keys(cell, table).dropna(subset="weight")


def _entries(stored: pd.DataFrame, column: str, number: str, value: str) -> pd.DataFrame:
    """A row per run, task and entry of a column of lists, with the entry's number, from 0, and its value."""
    lists = stored.reindex(columns=[column])[column].map(np.atleast_1d)  # NaN where an earlier version stored none
    sizes = lists.map(len).to_numpy()
    table = stored[["seed", "task"]].loc[stored.index.repeat(sizes)].reset_index(drop=True)
    table[number] = np.arange(len(table)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    table[value] = np.concatenate(lists.to_list()).astype("float32")
    return table


def _with_keys(cell: SweptCell, table: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns that name the cell before its own."""
    for position, (key, value) in enumerate(cell.keys.items()):
        table.insert(position, key, value)
    return table


def gather(
    cells: Sequence[SweptCell],
    stores: Mapping[str, CellStore],
    results: Path,
    command: Sequence[str],
    environment: Mapping[str, Any],
    paper_loss: float,
) -> tuple[Swept, int]:
    """Put the stored runs of a sweep's cells together, and write their curves to `curves.parquet` on the way.

    Args:
        cells: of the sweep.
        stores: theirs, by identity.
        results: its folder.
        command: that repeats it.
        environment: versions and the like; the kinds of processor that trained the runs are added.
        paper_loss: how many squared errors a loss of the paper is.

    Returns:
        the sweep as far as it is stored, and how many runs are missing.

    Raises:
        OSError: the curves cannot be written.
    """
    found: dict[str, list[pd.DataFrame]] = {"runs": [], "mean_curves": [], "gates": [], "tuning": []}
    missing, kept = 0, []
    processors: set[str] = set()
    with _writing_curves(results, [cell for cell in cells if _has_runs(cell, stores[cell.identity])]) as write_curves:
        for cell in cells:
            store = stores[cell.identity]
            stored, without = load(store, cell.seeds)
            tuned, without_tuning = load(store, cell.tuning_seeds)
            missing += len(without) + len(without_tuning)
            for table in (stored, tuned):
                processors.update(table.get("processor", pd.Series()).dropna())  # an earlier version stored none
            if not tuned.empty:
                found["tuning"].append(runs_table(cell, tuned))
            if stored.empty:
                continue
            kept.append(replace(cell, label_pearson=label_pearson(cell.data)))
            found["runs"].append(runs_table(cell, stored))
            curves = curves_table(cell, stored)
            write_curves(curves)
            found["mean_curves"].append(mean_curves(curves))
            found["gates"].append(gates_table(cell, stored))
    tables = {key: pd.concat(of, ignore_index=True) if of else pd.DataFrame() for key, of in found.items()}
    if processors:
        environment = {**environment, "processors": sorted(processors)}
    swept = Swept(
        name=results.name, cells=kept, command=command, environment=environment, paper_loss=paper_loss, **tables
    )
    return swept, missing


def _has_runs(cell: SweptCell, store: CellStore) -> bool:
    """Whether a chunk with some of the seeds asked for is stored."""
    return not store.finished().keys().isdisjoint(store.chunks(cell.seeds))


def _writing_curves(
    results: Path, cells: Sequence[SweptCell]
) -> AbstractContextManager[Callable[[pd.DataFrame], None]]:
    """Write the curves of cells one after the other; nothing where there are none.

    The keys of all decide the types of the columns, so they have to be known before the first is written.
    """
    if not cells:
        return nullcontext(lambda rows: None)
    row = pd.DataFrame({"seed": [0], "task": [0], "step": [0], "loss": np.zeros(1, "float32")})
    like = pd.concat([_with_keys(cell, row.copy()) for cell in cells], ignore_index=True)
    return writing_curves(results / "curves.parquet", like)


def label_pearson(law: Law) -> float:
    """Pearson correlation of two tasks' labels, of the law, which is made for it; NaN where it offers none.

    It is recorded with a sweep, so that reading results runs no law's code.
    """
    return float(getattr(instantiate(law.settings), "label_pearson", math.nan))


def write_sweep(results: Path, swept: Swept) -> None:
    """Leave a sweep's tables, curves aside, and its record in a folder, which `read_sweep` reads."""
    for name in _TABLES:
        table, path = getattr(swept, name), results / f"{name}.parquet"
        if table.empty:
            path.unlink(missing_ok=True)  # of an earlier command
        else:
            write_table(path, table)
    write_settings(results / "config.yaml", record(swept))
    write_atomically(results / "environment.json", (json.dumps(swept.environment, indent=2) + "\n").encode())


def write_manifest(results: Path) -> None:
    """Record the checksums of a sweep's files in `manifest.json`, once all of them are there."""
    there = [results / name for name in _SWEEPS_OWN if (results / name).exists()]
    sums = {path.name: checksum(path.read_bytes()) for path in there}
    write_atomically(results / "manifest.json", (json.dumps(sums, indent=2) + "\n").encode())


def _check_manifest(results: Path) -> None:
    """Refuse files that are not as the sweep left them, such as some of its own and some of another's."""
    path = results / "manifest.json"
    if not path.exists():  # of an earlier version
        return
    with reading(path, AGAIN):
        sums = dict(json.loads(read_text(path)))
    for file in (results / name for name in _SWEEPS_OWN):
        with reading(file, AGAIN):
            if file.exists() and checksum(file.read_bytes()) != sums.get(file.name):
                raise UsageError(f"{file}: is not as the sweep wrote it; {AGAIN}")


def read_sweep(results: Path) -> Swept:
    """The sweep of a folder, from its tables alone; curves, gates and tuning runs may be left out.

    Raises:
        UsageError: the folder holds no sweep, or files that are damaged or of different sweeps.
    """
    if not results.is_dir():
        raise UsageError(f"{results}: there is no such folder; mmoe-repro list shows the sweeps that there are")
    config, environment = results / "config.yaml", results / "environment.json"
    for path in (config, results / "runs.parquet", environment):
        if not path.exists():
            raise UsageError(f"{results}: no results of a sweep, {path.name} is missing")
    _check_manifest(results)
    with reading(config, AGAIN):
        recorded = yaml.safe_load(read_text(config))
        cells, command = recall(recorded), shlex.split(recorded["command"])
        paper_loss = float(recorded.get("paper_loss", 1.0))  # an older sweep has none
    tables = {}
    for name, columns in _TABLES.items():
        path = results / f"{name}.parquet"
        with reading(path, AGAIN):
            tables[name] = read_table(path, columns) if path.exists() else pd.DataFrame()
    curves = results / "curves.parquet"
    with reading(curves, AGAIN):
        means = [mean_curves(of_cell) for of_cell in curves_by_cell(curves)] if curves.exists() else []
    with reading(environment, AGAIN):
        versions = dict(json.loads(read_text(environment)))
    if {cell.identity for cell in cells} != set(tables["runs"]["cell"]):
        raise UsageError(f"{results}: config.yaml and runs.parquet are of different sweeps; {AGAIN}")
    return Swept(
        name=results.name,
        cells=_with_label_pearson(cells, results / "losses.csv"),
        mean_curves=pd.concat(means, ignore_index=True) if means else pd.DataFrame(),
        **tables,
        command=command,
        environment=versions,
        paper_loss=paper_loss,
    )


def _with_label_pearson(cells: Sequence[SweptCell], losses: Path) -> list[SweptCell]:
    """Cells as they are, or with what the loss table says where an earlier version recorded no such correlation."""
    if not losses.exists() or not any(math.isnan(cell.label_pearson) for cell in cells):
        return list(cells)
    table = read_losses(losses.parent)
    found = []
    for cell in cells:
        known = {key: str(value) for key, value in cell.keys.items() if key in table and key != "cell"}
        rows = table[(table[list(known)].astype(str) == pd.Series(known)).all(axis=1)]
        pearson = rows["label_pearson"].iloc[0] if len(rows) else math.nan
        found.append(replace(cell, label_pearson=float(pearson)) if math.isnan(cell.label_pearson) else cell)
    return found


def read_curves(results: Path) -> pd.DataFrame:
    """The `curves.parquet` of a sweep's folder, whole; no rows where there is none.

    Raises:
        UsageError: it is damaged, or another program's.
    """
    path = results / "curves.parquet"
    with reading(path, AGAIN):
        return read_table(path, COLUMNS) if path.exists() else pd.DataFrame()


def read_losses(results: Path) -> pd.DataFrame:
    """The `losses.csv` of a sweep's folder.

    Raises:
        UsageError: it is damaged, or another program's.
    """
    with reading(results / "losses.csv", AGAIN):
        return read_table(results / "losses.csv", ("model", "correlation", "task", "loss", "label_pearson", "runs"))


def read_verdicts(results: Path) -> pd.DataFrame:
    """The `verdicts.csv` of a folder; errors as of `read_losses`."""
    with reading(results / "verdicts.csv", "repeat the command that made the folder"):
        return read_table(results / "verdicts.csv", ("id", "verdict"))


def record(swept: Swept) -> dict[str, Any]:
    """What `config.yaml` keeps of a sweep: the command, how the paper is read, each cell's settings and seeds."""
    return {
        "command": shlex.join(swept.command),
        "results": swept.name,
        "paper_loss": swept.paper_loss,
        "cells": [
            {
                "folder": f"cells/{cell.identity}",
                **cell.record(),
                "swept": dict(cell.swept),
                "seeds": _spans(cell.seeds),
                "tuning_seeds": _spans(cell.tuning_seeds),
                "label_pearson": None if math.isnan(cell.label_pearson) else cell.label_pearson,
            }
            for cell in swept.cells
        ],
    }


def recall(recorded: Mapping[str, Any]) -> list[SweptCell]:
    """The cells of a sweep from what `record` kept of it."""
    return [
        SweptCell(
            **read_record(cell),
            recorded=Path(cell["folder"]).name,
            swept=cell["swept"],
            seeds=_seeds(cell["seeds"]),
            tuning_seeds=_seeds(cell["tuning_seeds"]),
            label_pearson=math.nan if cell.get("label_pearson") is None else cell["label_pearson"],
        )
        for cell in recorded["cells"]
    ]


def _seeds(spans: Sequence[str]) -> list[int]:
    """Seeds of spans as `_spans` gives them."""
    ends = [[int(end) for end in span.split("-")] for span in spans]
    return [seed for first, last in ends for seed in range(first, last + 1)]


def _spans(seeds: Sequence[int]) -> list[str]:
    """Ascending seeds as spans: [0, 1, 2, 7] is ["0-2", "7-7"]."""
    spans: list[list[int]] = []
    for seed in seeds:
        if spans and seed == spans[-1][1] + 1:
            spans[-1][1] = seed
        else:
            spans.append([seed, seed])
    return [f"{first}-{last}" for first, last in spans]
