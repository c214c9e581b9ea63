"""A cell's life: which chunks of seeds are missing, train them, store them."""

import io
import pickle
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from hydra.utils import instantiate

from mmoe_repro import __version__
from mmoe_repro.compiler import CompileError, can_compile
from mmoe_repro.config import Adam, Cell, Training
from mmoe_repro.population import STUCK_SD, Evaluation, Population, Seed
from mmoe_repro.store import CellStore

#: Seeds trained together, by device. On a CPU many enough to spread the cost of a step's operations, few enough for a
#: core's cache; on a GPU enough to fill it (chosen by arithmetic, not measured).
CHUNK_SIZE = {"cpu": 10, "cuda": 200}
#: Shorter trainings are over before compiling would pay.
COMPILED_FROM_STEPS = 2_000
#: Seconds between checkpoints; what a killed process loses at most.
CHECKPOINT_SECONDS = 20.0


class Stopped(Exception):
    """The chunk was left unfinished, as asked; what it had done is stored."""


class Report(Protocol):
    """Who follows the training."""

    def progress(self, run_steps: int, loss: float | None = None) -> None:
        """So many more run-steps are done; the mean loss of the last window, if there is one."""

    def notice(self, message: str) -> None:
        """Something that the user should know."""

    def stopping(self) -> bool:
        """Whether to checkpoint and stop."""


def versions() -> dict[str, str]:
    """Of the programs that decide a run's bits."""
    packages = {name: version(name) for name in ("torch", "numpy")}
    return {"mmoe-repro": __version__, "python": platform.python_version(), **packages}


def open_store(results: Path, cell: Cell) -> CellStore:
    """The store of a cell; a new one records how its runs are going to be trained."""
    compiled = cell.settings["training"]["steps"] >= COMPILED_FROM_STEPS and can_compile(cell.device)
    made_with = {"chunk_size": CHUNK_SIZE[cell.device], "compiled": compiled, "versions": versions()}
    return CellStore(results, cell, made_with)


def population(cell: Cell, seeds: range, compiled: bool = False) -> Population:
    """Make the untrained runs of a cell.

    Raises:
        UsageError: a setting is out of range.
        hydra.errors.InstantiationException: a `_target_` cannot be found or called.
    """
    settings = cell.settings
    crossed = settings.get("crossed")
    training = dict(settings["training"])
    optimizer = Adam(**training.pop("optimizer"))
    return Population(
        build=lambda: instantiate(settings["model"]),
        law=instantiate(settings["data"]),
        training=Training(**training, optimizer=optimizer),
        seeds=[
            Seed(
                data if settings["data_seed"] is None else settings["data_seed"],
                init if settings["init_seed"] is None else settings["init_seed"],
            )
            for data, init in (divmod(seed, crossed) if crossed else (seed, seed) for seed in seeds)
        ],
        compiled=compiled,
    )


def train_chunk(store: CellStore, cell: Cell, chunk: range, report: Report) -> None:
    """Train the runs of a chunk from its last checkpoint, if there is one, and store them.

    Waits while another process trains the same chunk; does nothing if the chunk is done by then.

    Raises:
        Stopped: `report` asked to stop.
        OSError: the disk is full; what was stored stays.
    """
    noticed = False

    def blocked() -> None:
        nonlocal noticed
        if not noticed:
            report.notice(f"waiting for another process that trains seeds {chunk[0]} to {chunk[-1]} of {cell.identity}")
        noticed = True
        if report.stopping():
            raise Stopped

    with store.lock(chunk, blocked):
        if store.find(chunk) is not None:
            report.progress(len(chunk) * cell.settings["training"]["steps"])
            return
        runs = _untrained(store, cell, chunk, report)
        checkpoint = _load_checkpoint(store, chunk)
        if checkpoint is None:
            initial, seconds = runs.evaluate(), 0.0
        else:
            runs.load_state_dict(checkpoint["population"])
            initial, seconds = checkpoint["initial"], checkpoint["seconds"]
            report.progress(len(chunk) * runs.step)
        started = saved = time.monotonic()
        while not runs.finished:
            report.progress(len(chunk) * runs.advance(), _last_loss(runs))
            stop = report.stopping()
            now = time.monotonic()
            if stop or now - saved > CHECKPOINT_SECONDS:
                state = {
                    "population": runs.state_dict(),
                    "initial": initial,
                    "seconds": seconds + now - started,
                }
                buffer = io.BytesIO()
                torch.save(state, buffer)
                store.save_checkpoint(chunk, buffer.getvalue())
                saved = now
            if stop:
                raise Stopped
        final = runs.evaluate()
        seconds += time.monotonic() - started
        store.save(chunk, _rows(chunk, initial, final, runs, seconds / len(chunk)))


def _untrained(store: CellStore, cell: Cell, chunk: range, report: Report) -> Population:
    try:
        return population(cell, chunk, store.compiled)
    except CompileError as error:
        if not store.forgo_compiling():
            raise  # finished runs are compiled ones, and these would differ from them
        report.notice(f"cannot compile ({error}); {cell.identity} is trained without, slower")
        return population(cell, chunk)


def _load_checkpoint(store: CellStore, chunk: range) -> dict[str, Any] | None:
    content = store.load_checkpoint(chunk)
    if content is None:
        return None
    try:
        # Our own file, whose checksum was right; it holds arrays and an Evaluation.
        state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=False)
    except (pickle.UnpicklingError, RuntimeError, AttributeError):
        return None  # written by another version of the program
    return state


def _last_loss(runs: Population) -> float | None:
    curves = runs.curves()
    return float(np.nanmean(curves[:, -1])) if curves.shape[1] and np.isfinite(curves[:, -1]).any() else None


def _rows(chunk: range, initial: Evaluation, final: Evaluation, runs: Population, seconds: float) -> pd.DataFrame:
    """A row per seed and task; `curve` is the list of the windows' losses, `first_losses` of their first steps'."""
    curves, first_losses = runs.curves(), runs.first_losses.cpu().numpy()
    rows = []
    for run, seed in enumerate(chunk):
        for task in range(curves.shape[-1]):
            curve, test_loss = curves[run, :, task], final.loss[run, task]
            rows.append(
                {
                    "seed": seed,
                    "task": task + 1,
                    "initial_loss": initial.loss[run, task],
                    "final_loss": curve[-1],
                    "test_loss": test_loss,
                    "diverged": not (np.isfinite(curve[-1]) and np.isfinite(test_loss)),
                    "stuck": final.prediction_sd[run, task] < STUCK_SD,
                    "dead_units": final.dead_units[run, task],
                    "gate_entropy": final.gate_entropy[run, task],
                    "gate_divergence": final.gate_divergence[run, task],
                    "experts_used": final.experts_used[run, task],
                    "seconds": seconds,
                    "gate_weights": final.gate_weights[run, task].astype(np.float32),
                    "curve": curve.astype(np.float32),
                    "first_losses": first_losses[run, :, task].astype(np.float32),
                }
            )
    return pd.DataFrame(rows)
