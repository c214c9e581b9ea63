"""What a sweep asked for, and its stored runs put together."""

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from mmoe_repro.config import Cell, Job
from mmoe_repro.store import CellStore

_OUTCOMES = ["initial_loss", "final_loss", "test_loss", "diverged", "stuck", "dead_units"]
_OUTCOMES += ["gate_entropy", "gate_divergence", "experts_used", "seconds"]
#: Overrides that have a column of their own, or that do not make another cell.
_NOT_SWEPT = ("model", "data", "data.correlation", "training.learning_rate")


@dataclass
class SweptCell:
    """A cell of a sweep with the seeds asked for.

    Attributes:
        cell: the setting.
        swept: value of every key that differs between the sweep's cells, model, data, correlation and
            learning rate aside.
        seeds: of the reported runs, ascending.
        tuning_seeds: of the runs that choose the learning rate.
    """

    cell: Cell
    swept: dict[str, Any]
    seeds: list[int]
    tuning_seeds: list[int]

    @property
    def keys(self) -> dict[str, Any]:
        """The columns that name the cell in every table."""
        settings = self.cell.settings
        return {
            "cell": self.cell.identity,
            "model": self.cell.model,
            "data": self.cell.data,
            "correlation": settings["data"].get("correlation"),
            "learning_rate": settings["training"]["learning_rate"],
            **self.swept,
        }


def merge(jobs: list[Job]) -> list[SweptCell]:
    """Put the jobs of a sweep together: jobs of one cell become one, with the seeds of all."""
    told = [key for job in jobs for key in job.overrides]
    cells = {job.cell.identity: job.cell for job in jobs}
    swept = [
        key
        for key in dict.fromkeys(told)
        if key not in _NOT_SWEPT
        and key.split(".")[0] in jobs[0].cell.settings
        and len({job.overrides.get(key) for job in jobs}) > 1
    ]
    merged = []
    for identity, cell in cells.items():
        same = [job for job in jobs if job.cell.identity == identity]
        merged.append(
            SweptCell(
                cell,
                {key: _value(same[0], key) for key in swept},
                sorted({seed for job in same for seed in job.seeds}),
                sorted({seed for job in same for seed in job.tuning_seeds}),
            )
        )
    return merged


def _value(job: Job, key: str) -> Any:
    """The job's value of a setting such as `training.batch_size`, or of a group such as `training`."""
    node: Any = job.cell.settings
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:  # `model.weights`, of which widths are left
            return yaml.safe_load(job.overrides.get(key, "null"))
        node = node[part]
    return node if node is None or isinstance(node, int | float | bool) else job.overrides.get(key, str(node))


def load(store: CellStore, seeds: list[int]) -> tuple[pd.DataFrame, list[int]]:
    """The stored runs of a cell, a row per seed and task, and the seeds that are missing."""
    frames = [frame for chunk in store.chunks(seeds) if (frame := store.load(chunk)) is not None]
    stored = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"seed": []})
    stored = stored[stored["seed"].isin(seeds)].reset_index(drop=True)
    return stored, sorted(set(seeds) - set(stored["seed"]))


def runs_table(cell: SweptCell, stored: pd.DataFrame) -> pd.DataFrame:
    """A row per run and task: the keys of its cell, seed, task, and what came out."""
    return _with_keys(cell, stored.reindex(columns=["seed", "task", *_OUTCOMES]))  # an earlier version stored fewer


def curves_table(cell: SweptCell, stored: pd.DataFrame) -> pd.DataFrame:
    """A row per run, task and window; `step` is the window's first."""
    table = _entries(stored, "curve", "step", "loss")
    table["step"] *= cell.cell.settings["training"]["window"]
    return _with_keys(cell, table)


def gates_table(cell: SweptCell, stored: pd.DataFrame) -> pd.DataFrame:
    """A row per run, task and expert, counted from 1, with its mean gate weight; none for a model without gates."""
    table = _entries(stored, "gate_weights", "expert", "weight")
    table["expert"] += 1
    return _with_keys(cell, table).dropna(subset="weight")


def _entries(stored: pd.DataFrame, column: str, number: str, value: str) -> pd.DataFrame:
    """A row per run, task and entry of a column of lists, with the entry's number, from 0, and its value."""
    table = stored.reindex(columns=["seed", "task", column]).explode(column, ignore_index=True)
    table = table.rename(columns={column: value}).astype({value: "float32"})
    table.insert(2, number, table.groupby(["seed", "task"]).cumcount())
    return table


def _with_keys(cell: SweptCell, table: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns that name the cell before its own."""
    for position, (key, value) in enumerate(cell.keys.items()):
        table.insert(position, key, value)
    return table


def record(cells: list[SweptCell], results: Path, command: list[str], paper_loss: float) -> dict[str, Any]:
    """What `config.yaml` keeps of a sweep: the command, how the paper is read, each cell's settings and seeds."""
    return {
        "command": shlex.join(command),
        "results": results.name,
        "paper_loss": paper_loss,
        "cells": [
            {
                "folder": f"cells/{cell.cell.identity}",
                **asdict(cell.cell),
                "swept": cell.swept,
                "seeds": _spans(cell.seeds),
                "tuning_seeds": _spans(cell.tuning_seeds),
            }
            for cell in cells
        ],
    }


def recall(recorded: dict[str, Any]) -> list[SweptCell]:
    """The cells of a sweep from what `record` kept of it."""
    return [
        SweptCell(
            Cell(cell["model"], cell["data"], cell["settings"]),
            cell["swept"],
            _seeds(cell["seeds"]),
            _seeds(cell["tuning_seeds"]),
        )
        for cell in recorded["cells"]
    ]


def _seeds(spans: list[str]) -> list[int]:
    """Seeds of spans as `_spans` gives them."""
    ends = [[int(end) for end in span.split("-")] for span in spans]
    return [seed for first, last in ends for seed in range(first, last + 1)]


def _spans(seeds: list[int]) -> list[str]:
    """Ascending seeds as spans: [0, 1, 2, 7] is ["0-2", "7-7"]."""
    spans: list[list[int]] = []
    for seed in seeds:
        if spans and seed == spans[-1][1] + 1:
            spans[-1][1] = seed
        else:
            spans.append([seed, seed])
    return [f"{first}-{last}" for first, last in spans]
