"""A cell's life: which chunks of seeds are missing, train them, store them."""

import io
import pickle
import platform
import time
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch

from mmoe_repro import __version__
from mmoe_repro.compiler import CompileError, can_compile
from mmoe_repro.data.law import make_law
from mmoe_repro.errors import one_line
from mmoe_repro.processes import Stopped
from mmoe_repro.runs.store import CellStore
from mmoe_repro.settings.cell import Cell
from mmoe_repro.settings.hydra_targets import make
from mmoe_repro.training.population import STUCK_SD, Evaluation, Population, Seed

#: Seeds trained together, by device. On a CPU many enough to spread the cost of a step's operations, few enough for a
#: core's cache; on a GPU enough to fill it (chosen by arithmetic, not measured).
CHUNK_SIZE = {"cpu": 10, "cuda": 200}
#: Shorter trainings are over before compiling would pay.
COMPILED_FROM_STEPS = 2_000
#: Seconds between checkpoints; what a killed process loses at most.
CHECKPOINT_SECONDS = 20.0


class Listener(Protocol):
    """Who follows the training."""

    def progress(self, run_steps: int) -> None:
        """Add run-steps that are done."""

    def at_work(self, what: str) -> None:
        """What is being done, in a few words; nothing if it is over."""

    def notice(self, message: str) -> None:
        """Something that the user should know."""

    def stopping(self) -> bool:
        """Whether to checkpoint and stop."""


def versions() -> dict[str, str]:
    """Of the programs that decide a run's bits."""
    packages = {name: version(name) for name in ("torch", "numpy")}
    return {"mmoe-repro": __version__, "python": platform.python_version(), **packages}


@cache
def processor(device: str) -> str:
    """The processor that trains, and the instructions that PyTorch uses on it: another gives other last bits."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    name = next(names, platform.processor() or platform.machine())
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def open_store(results: Path, cell: Cell) -> CellStore:
    """The store of a cell; a new one records how its runs are going to be trained."""

    def made_with() -> dict[str, Any]:
        size = CHUNK_SIZE[cell.training.device]
        return {"chunk_size": size, "compiled": is_compiled(cell), "versions": versions()}

    return CellStore(results, cell, made_with)


def is_long(cell: Cell) -> bool:
    """Whether a cell's training wins back the seconds that compiling takes."""
    return cell.training.steps >= COMPILED_FROM_STEPS


def is_compiled(cell: Cell) -> bool:
    """Whether a cell's training is compiled: where that pays off and can be done."""
    return is_long(cell) and can_compile(cell.training.device)


def population(cell: Cell, seeds: range, compiled: bool = False, dtype: torch.dtype = torch.float32) -> Population:
    """Make the untrained runs of a cell.

    Raises:
        UsageError: a setting is out of range, or a `_target_` cannot be found or called.
    """
    crossed = cell.crossed
    return Population(
        build=lambda: make("model", cell.model.name, cell.model.settings),
        law=make_law(cell.data.name, cell.data.settings),
        training=cell.training,
        seeds=[
            Seed(
                data if cell.data_seed is None else cell.data_seed,
                init if cell.init_seed is None else cell.init_seed,
            )
            for data, init in (divmod(seed, crossed) if crossed else (seed, seed) for seed in seeds)
        ],
        dtype=dtype,
        compiled=compiled,
    )


def train_unstored(cell: Cell, seeds: range, stopping: Callable[[], bool]) -> Population:
    """Train runs together and store nothing; compiled where that pays off and can be done.

    Raises:
        Stopped: `stopping` said so.
    """
    try:
        runs = population(cell, seeds, is_compiled(cell))
    except CompileError:  # as with Shared-Bottom without biases at batch 1
        runs = population(cell, seeds)
    while not runs.finished:
        if stopping():
            raise Stopped
        runs.advance()
    return runs


def train_chunk(store: CellStore, cell: Cell, chunk: range, listener: Listener) -> bool:
    """Train the runs of a chunk from its last checkpoint, if there is one, and store them, unless they are stored.

    Returns:
        whether the chunk is done; it is not, and nothing was done, where another process is training it.

    Raises:
        Stopped: `listener` asked to stop.
        OSError: the disk is full; what was stored stays.
    """
    with store.lock(chunk) as held:
        if not held:
            return False
        if store.find(chunk) is not None:
            listener.progress(len(chunk) * cell.training.steps)
            return True
        name = cell.model.name if cell.data.correlation is None else f"{cell.model.name} at {cell.data.correlation:g}"
        listener.at_work(f"compiling {cell.model.name}" if store.compiled else name)
        runs = _untrained(store, cell, chunk, listener)
        listener.at_work(name)
        initial, seconds_before = _begin(store, chunk, runs, listener)
        started = time.monotonic() - seconds_before
        _train_on(store, chunk, runs, initial, started, listener)
        final = runs.evaluate()
        seconds = time.monotonic() - started
        rows = _rows(chunk, initial, final, runs, seconds / len(chunk))
        store.save(chunk, rows.assign(processor=processor(cell.training.device)))
        listener.at_work("")
    return True


def _untrained(store: CellStore, cell: Cell, chunk: range, listener: Listener) -> Population:
    """The runs of a chunk before training, compiled as its store says, or not at all if that fails."""
    try:
        return population(cell, chunk, store.compiled)
    except CompileError as error:
        if not store.keep_uncompiled():  # runs that are not would differ from those in the last bits
            raise CompileError(f"its finished runs were compiled, and now: {error}; use another name") from error
        listener.notice(f"cannot compile ({error}); {cell.identity} is trained without, slower")
        return population(cell, chunk)


def _begin(store: CellStore, chunk: range, runs: Population, listener: Listener) -> tuple[Evaluation, float]:
    """Bring untrained runs to their last checkpoint, if there is one.

    Returns:
        what they were before training, and the seconds that training has taken so far.
    """
    checkpoint = _load_checkpoint(store, chunk, listener)
    if checkpoint is None:
        return runs.evaluate(), 0.0
    runs.load_state_dict(checkpoint["population"])
    listener.progress(len(chunk) * runs.step)
    return _from_tensors(checkpoint["initial"]), checkpoint["seconds"]


def _train_on(
    store: CellStore, chunk: range, runs: Population, initial: Evaluation, started: float, listener: Listener
) -> None:
    """Take the steps that are left, with a checkpoint now and then.

    Raises:
        Stopped: `listener` asked to stop; there is a checkpoint.
    """
    saved = time.monotonic()
    while not runs.finished:
        listener.progress(len(chunk) * runs.advance())
        stop, now = listener.stopping(), time.monotonic()
        if stop or now - saved > CHECKPOINT_SECONDS:
            _save_checkpoint(store, chunk, runs, initial, now - started)
            saved = now
        if stop:
            raise Stopped


def _save_checkpoint(store: CellStore, chunk: range, runs: Population, initial: Evaluation, seconds: float) -> None:
    """Store everything that training goes on from."""
    state = {"population": runs.state_dict(), "initial": _as_tensors(initial), "seconds": seconds}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    store.save_checkpoint(chunk, buffer.getvalue())


def _load_checkpoint(store: CellStore, chunk: range, listener: Listener) -> dict[str, Any] | None:
    """What `_save_checkpoint` stored; None if there is none, it is damaged, or of another version of the program."""
    try:
        if (content := store.load_checkpoint(chunk)) is None:
            return None
        # Nothing but tensors, numbers, strings, lists and dictionaries, so that a file can run no code.
        state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError) as error:
        where = f"seeds {chunk[0]} to {chunk[-1]} of {store.folder.name}"
        listener.notice(f"{where}: the checkpoint cannot be gone on from ({one_line(error)}); they begin anew")
        return None
    return state


def _as_tensors(evaluation: Evaluation) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in vars(evaluation).items()}


def _from_tensors(tensors: dict[str, torch.Tensor]) -> Evaluation:
    return Evaluation(**{name: value.numpy() for name, value in tensors.items()})


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
