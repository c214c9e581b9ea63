"""Training the atlas's settings: several processes take them in turn, each stored as soon as it is done."""

import json
from collections.abc import Callable, Sequence
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from mmoe_repro.atlas.design import cells
from mmoe_repro.errors import UsageError
from mmoe_repro.runs.files import checksum, read_table, read_text, reading, write_atomically, write_table
from mmoe_repro.training.chunk import train_unstored

#: The seeds of every setting, which no sweep and no search has.
SEED = 700_000
#: Columns of the losses.
COLUMNS = ("setting", "model", "correlation", "seed", "task", "final_loss", "test_loss")


def path_of(results: Path, setting: int) -> Path:
    """Where a setting's losses are until they are put together."""
    return results / "settings" / f"{setting:05d}.parquet"


def losses(results: Path) -> pd.DataFrame:
    """All losses that are stored, in the order of the settings: a row for each run and task, of `COLUMNS`."""
    together = results / "losses.parquet"
    parts = [_read(together)] if together.exists() else []
    done = set(parts[0]["setting"]) if parts else set()
    parts += [_read(path) for path in sorted((results / "settings").glob("*.parquet")) if int(path.stem) not in done]
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(parts, ignore_index=True).sort_values("setting", kind="stable", ignore_index=True)


def _read(path: Path) -> pd.DataFrame:
    with reading(path, "delete it, and its settings are trained anew"):
        return read_table(path, COLUMNS)


def work(
    results: Path,
    settings: Sequence[tuple[int, dict[str, Any]]],
    runs: int,
    stopping: Callable[[], bool],
    finished: Callable[[int], None],
) -> None:
    """Train the settings that nobody else has trained or is training.

    Args:
        results: the atlas's folder.
        settings: number and settings of each, in the order in which they are taken.
        runs: of each cell.
        stopping: looked at all the time; the setting that is being trained is then given up.
        finished: called with the number of each that is done, by whomever.

    Raises:
        Stopped: `stopping` said so.
    """
    for number, chosen in settings:
        path = path_of(results, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue  # another process is at it
        try:
            if not path.exists():
                write_table(path, train(number, chosen, range(SEED, SEED + runs), stopping))
            finished(number)
        finally:
            path.with_suffix(".lock").unlink(missing_ok=True)
            lock.release()


def train(number: int, chosen: dict[str, Any], seeds: range, stopping: Callable[[], bool]) -> pd.DataFrame:
    """The losses of a setting's cells, a row for each run and task, of `COLUMNS`; those of diverged runs are missing.

    Raises:
        Stopped: `stopping` said so.
    """
    tables = []
    for (model, correlation), cell in cells(chosen).items():
        runs = train_unstored(cell, seeds, stopping)
        final, test = runs.curves()[:, -1], runs.evaluate().loss
        usable = np.isfinite(final) & np.isfinite(test)
        seed, task = (axis.ravel() for axis in np.meshgrid(list(seeds), range(1, final.shape[1] + 1), indexing="ij"))
        tables.append(
            pd.DataFrame(
                {
                    "setting": number,
                    "model": model,
                    "correlation": correlation,
                    "seed": seed,
                    "task": task,
                    "final_loss": np.where(usable, final, np.nan).ravel().astype(np.float32),
                    "test_loss": np.where(usable, test, np.nan).ravel().astype(np.float32),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _identity(settings: dict[str, Any]) -> str:
    """A hash of all that the cells of a setting are made with, whatever the choices leave to the defaults included."""
    return checksum(" ".join(cell.identity for cell in cells(settings).values()).encode())


def recorded(path: Path, design: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The settings as the folder was begun with them; those that it lacks are added to it.

    Logarithms and powers differ in their last digit from one processor to another, so that a folder may be gone on with
    elsewhere only if what it records is what counts.

    Args:
        path: of the file that records them, a line each; it is extended, or written if it is new.
        design: the settings, as they are drawn here.

    Raises:
        UsageError: the choices, or a default that they leave alone, have changed.
    """
    before: list[dict[str, Any]] = []
    identities: list[str] = []
    if path.exists():
        with reading(path, "delete it if the choices are the same as before"):
            before = [json.loads(line) for line in read_text(path).splitlines()]
            identities = [settings.pop("cells") for settings in before]
    settings = [*before[: len(design)], *design[len(before) :]]
    refused = UsageError(f"{path}: was begun with other choices; use another name")
    if not _same(list(design), settings):
        raise refused
    now = [_identity(one) for one in settings]
    if any(one != other for one, other in zip(now, identities, strict=False)):
        raise refused
    if len(settings) > len(before):
        lines = [json.dumps({**one, "cells": of}, sort_keys=True) for one, of in zip(settings, now, strict=True)]
        write_atomically(path, ("\n".join(lines) + "\n").encode())
    return settings


def _same(one: Any, other: Any) -> bool:
    """Whether two settings are the same but for rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=1e-12)
    return bool(one == other)
