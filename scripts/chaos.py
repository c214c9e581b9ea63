"""Tries to break a sweep and counts what holds: deaths, full disks, locks, damaged files, bad command lines.

    python scripts/chaos.py                  everything, for an hour or more; its table is in docs/reliability.md
    python scripts/chaos.py --into log.csv   a line for each trial as soon as it is over
    python scripts/chaos.py --trials 5       of each kind, chosen at random
    python scripts/chaos.py --seed 7         other random ones

Every trial disturbs a small sweep and then repeats its command undisturbed, which has to end well, with the tables of a
sweep that was never disturbed, to the bit, and with no file left that does not belong there. Trials are children of one
process that has loaded the program, so that a death costs half a second. It needs `os.fork`.
"""

import argparse
import csv
import errno
import fcntl
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints
from unittest.mock import patch

import pandas as pd
import torch

from mmoe_repro import cli, processes
from mmoe_repro.commands import sweep
from mmoe_repro.settings.schema import MixtureConfig, SweepConfig, SyntheticConfig
from mmoe_repro.settings.training import Adam, Training
from mmoe_repro.training import population
from mmoe_repro.views import figure_files

SWEEP = (
    *("sweep", "model=mmoe", "data.correlation=0.5", "data.dimension=10", "runs=20"),
    *("training.batch_size=32", "training.steps=120", "training.window=60", "workers=2"),
)
#: What a sweep may leave in its folder.
ALLOWED = (".parquet", ".yaml", ".json", ".csv", ".md", ".html", ".damaged")
SIGNALS = {
    "SIGKILL": [signal.SIGKILL],
    "SIGTERM": [signal.SIGTERM],
    "SIGINT": [signal.SIGINT],
    "SIGINT twice": [signal.SIGINT, signal.SIGINT],
    "SIGHUP": [signal.SIGHUP],
}
_ASKING = {signal.SIGINT, signal.SIGTERM}
#: Seconds after which a command hangs.
_PATIENCE = 600.0
#: Steps that were traced, and what traces one.
_steps: dict[str, Any] = {}
_make_step = population._make_step


# -- a sweep in a child of this process ------------------------------------------------------------


def start(folder: Path, *arguments: str, fault: Callable[[], None] = lambda: None, output_name: str = "output") -> int:
    """Run the command line in a child, in this folder, whose output goes to a file; return its process number.

    It heads a group of processes, gets no signal before its first line, and forks its one worker, which has everything
    loaded.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ASKING)
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        with suppress(PermissionError, ProcessLookupError):  # the child has done so, or has ended
            os.setpgid(child, child)
        return child
    os.setpgid(0, 0)
    os.chdir(folder)
    output = os.open(folder / output_name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1) for number in (1, 2))  # not those of a test
    sys.argv = ["mmoe-repro", *arguments]
    sweep._sweep = None
    signal.signal(signal.SIGINT, signal.default_int_handler)  # not as of a shell's background
    processes._SPAWN = multiprocessing.get_context("fork")
    started, begin, submit = threading.Event(), processes._start, processes.Workers.submit

    def begin_and_tell(worker: Any) -> None:
        begin(worker)
        started.set()

    def submit_and_wait(workers: Any, *call: Any) -> Any:
        """A fork copies the locks that PyTorch holds: none while its main thread waits."""
        future = submit(workers, *call)
        if workers._threads:
            started.wait()
        return future

    processes._start, processes.Workers.submit = begin_and_tell, submit_and_wait
    population._make_step = make_step_once
    dispatch = cli._dispatch

    def ready(given: list[str]) -> int:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKING)
        return dispatch(given)

    cli._dispatch = ready
    # Drawing takes longest by far, and its files are written as all others are.
    figure_files.save = lambda folder, *_: [folder / "curves.png"]
    try:
        fault()
        status = cli.main()
        sys.stdout.flush()
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    except BaseException as error:
        print(f"Traceback: {error!r}", flush=True)
        status = 70
    os._exit(status)


def warm_up(folder: Path) -> None:
    """Run a sweep in this process, so that its children find everything loaded, and the steps that it traced."""
    folder.mkdir()
    here = os.getcwd()
    os.chdir(folder)
    # Begun inside a trace, autograd looks for devices, and does not work in a fork of this process any more.
    torch.ones(1, requires_grad=True).sum().backward()
    with (
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
        patch.object(sys, "argv", ["mmoe-repro", *SWEEP[:-1], "workers=1"]),
        patch.object(population, "_make_step", make_step_once),
    ):
        cli.main()
    os.chdir(here)


def make_step_once(model: Any, state: Any, training: Training, block: Any, compiled: bool) -> Any:
    """Trace a step once for this process and its children: half the time of so small a sweep.

    Models are told apart by what they print, as the program's own can be; no other models may come here.
    """
    shapes = [one.shape for one in (*state.tensors(), *block.of_step(0))]
    key = f"{model} {training} {shapes} {compiled}"
    if key not in _steps:
        _steps[key] = _make_step(model, state, training, block, compiled)
    return _steps[key]


def ended(child: int) -> int:
    """Wait for a child; its exit status, or the number of the signal that killed it, negative; 124 if it hangs."""
    deadline = time.monotonic() + _PATIENCE
    while not (found := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return 124
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(found[1])


def children(process: int) -> list[int]:
    """The workers of a command."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            of_parent = int(stat.read_text().rpartition(")")[2].split()[1]) == process
            if of_parent and b"resource_tracker" not in (stat.parent / "cmdline").read_bytes():
                found.append(int(stat.parent.name))
    return found


def said(folder: Path, output_name: str = "output") -> str:
    """What the last command of a folder showed."""
    return (folder / output_name).read_text(errors="replace")


def shortened(text: str) -> str:
    """What of an output tells what went wrong: from a traceback on, or its end."""
    at = text.find("Traceback")
    return text[-300:] if at < 0 else text[max(0, at - 200) : at + 1500]


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """What has to be the same to the bit."""
    results = folder / "results/sweep"
    return {
        "runs": pd.read_parquet(results / "runs.parquet").drop(columns="seconds"),
        "curves": pd.read_parquet(results / "curves.parquet"),
        "losses": pd.read_csv(results / "losses.csv"),
    }


class Sweeps:
    """An undisturbed sweep, to hold disturbed ones against."""

    def __init__(self, folder: Path) -> None:
        self.whole = folder / "whole"
        self._folder, self._number = folder, 0
        self.whole.mkdir()
        warm_up(folder / "warm")
        began = time.monotonic()
        assert ended(start(self.whole, *SWEEP, fault=counted(note, 0))) == 0, said(self.whole)
        self.seconds = time.monotonic() - began
        self.operations = (self.whole / "count").stat().st_size
        self.tables = tables(self.whole)
        (cell,) = (self.whole / "results/sweep/cells").iterdir()
        names = [path.name[: len("runs-0000000-0000009")] for path in cell.glob("runs-*")]
        chunks = [cell.relative_to(self.whole) / f"{name}.lock" for name in sorted(names)]
        self.locks = [*chunks, Path("results/sweep/.lock")]

    def new(self, done: bool = False) -> Path:
        """A folder for a trial: empty, or with the finished sweep."""
        self._number += 1
        folder = self._folder / str(self._number)
        shutil.copytree(self.whole, folder) if done else folder.mkdir()
        return folder

    def differences(self, folder: Path) -> list[str]:
        """Which tables are not those of an undisturbed sweep."""
        return [f"{name} differs" for name, one in tables(folder).items() if not one.equals(self.tables[name])]

    def faults(self, folder: Path) -> list[str]:
        """What is wrong after the command has been repeated undisturbed; nothing if all is well.

        Drafts are made an hour old first: younger ones may be of a process that is at work elsewhere.
        """
        for draft in (folder / "results").rglob("*.draft"):
            os.utime(draft, (time.time() - 3600,) * 2)
        status = ended(start(folder, *SWEEP))
        if status:
            return [f"repeating it ends with {status}: {shortened(said(folder))}"]
        found = self.differences(folder)
        files = [path for path in (folder / "results").rglob("*") if path.is_file() and path.name != ".lock"]
        stray = [path for path in files if path.suffix not in ALLOWED]
        shutil.rmtree(folder)
        return found + [f"{path.relative_to(folder)} is left" for path in stray]


# -- trials: each gives what was wrong ---------------------------------------------------------------


def counted(act: Callable[[str, Any], None], at: int) -> Callable[[], None]:
    """A fault: at the `at`-th synchronisation, renaming or removal, do this, given its name and argument (0: all)."""

    def install() -> None:
        count = 0

        def wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                nonlocal count
                count += 1
                if at in (0, count):
                    act(name, arguments[0])
                return function(*arguments, **named)

            return call

        for name in ("fsync", "replace", "link", "unlink"):
            setattr(os, name, wrapped(name, getattr(os, name)))

    return install


def note(name: str, target: Any) -> None:
    """Count what a sweep does to files in the file `count`, a byte each."""
    with open("count", "a") as file:
        file.write(".")


def die(name: str, target: Any) -> None:
    """Die as at a power cut: of what is being written, half is there."""
    if name == "fsync":
        with suppress(OSError):  # a folder
            os.ftruncate(target, os.fstat(target).st_size // 2)
    os._exit(9)


def fill_the_disk(name: str, target: Any) -> None:
    """Refuse a write as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def deaths_at_writes(sweeps: Sweeps) -> Iterator[Callable[[], list[str]]]:
    """Die before each synchronisation, renaming and removal of a sweep."""

    def trial(at: int) -> list[str]:
        folder = sweeps.new()
        ended(start(folder, *SWEEP, fault=counted(die, at)))
        return sweeps.faults(folder)

    return (partial(trial, at) for at in range(1, sweeps.operations + 1))


def full_disks(sweeps: Sweeps) -> Iterator[Callable[[], list[str]]]:
    """Refuse each of them once, as a full disk does: a line that says so."""

    def trial(at: int) -> list[str]:
        folder = sweeps.new()
        status = ended(start(folder, *SWEEP, fault=counted(fill_the_disk, at)))
        text = said(folder)
        wrong = [] if "Traceback" not in text and (status == 0 or "No space left" in text) else [shortened(text)]
        return wrong + sweeps.faults(folder)

    return (partial(trial, at) for at in range(1, sweeps.operations + 1))


def kills(sweeps: Sweeps) -> Iterator[Callable[[], list[str]]]:
    """Send each signal at random instants to a command, or to its group, up to three times before it is let be."""

    def trial(name: str, send: Callable[[int, int], None]) -> list[str]:
        folder, wrong = sweeps.new(), []
        for _ in range(random.randint(1, 3)):
            child = start(folder, *SWEEP)
            time.sleep(random.uniform(0, 1.1 * sweeps.seconds))
            for number in SIGNALS[name]:
                send(child, number)
                time.sleep(0.02)
            status = ended(child)
            if "Traceback" in said(folder) or status not in (0, -number, 128 + number):
                wrong.append(f"{name} by {send.__name__}: {status}, {shortened(said(folder))}")
        return wrong + sweeps.faults(folder)

    return (partial(trial, name, send) for _ in range(20) for name in SIGNALS for send in (os.kill, os.killpg))


def kills_of_a_worker(sweeps: Sweeps) -> Iterator[Callable[[], list[str]]]:
    """Send a signal to the worker alone: the command ends well without it, or says what is missing."""

    def trial(number: signal.Signals) -> list[str]:
        folder, wrong = sweeps.new(), []
        child = start(folder, *SWEEP)
        at, deadline = random.uniform(0, 0.5 * sweeps.seconds), time.monotonic() + 10 * sweeps.seconds
        while not (workers := children(child)) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(at)
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, number)
        status, text = ended(child), said(folder)
        asked = number == signal.SIGTERM and status == 1 and "runs are missing; the same command goes on" in text
        if "Traceback" in text or not (status == 0 or asked):
            wrong.append(f"{number.name} to a worker: {status}, {shortened(text)}")
        return wrong + sweeps.faults(folder)

    return (partial(trial, number) for _ in range(30) for number in (signal.SIGKILL, signal.SIGHUP, signal.SIGTERM))


def several_at_once(sweeps: Sweeps) -> Iterator[Callable[[], list[str]]]:
    """Start two to four of one sweep in one folder and kill all but one of them at random instants."""

    def trial() -> list[str]:
        folder, wrong = sweeps.new(), []
        commands = {}
        for number in range(random.randint(2, 4)):
            commands[f"output{number}"] = start(folder, *SWEEP, output_name=f"output{number}")
            time.sleep(random.uniform(0, 0.3 * sweeps.seconds))
        left, *killed = random.sample(list(commands), len(commands))
        for output in killed:
            if random.random() < 0.7:
                time.sleep(random.uniform(0, 0.5 * sweeps.seconds))
                os.killpg(commands[output], random.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        for output, child in commands.items():
            status, text = ended(child), said(folder, output)
            if "Traceback" in text or (output == left and status):
                wrong.append(f"one of {len(commands)}: {status}, {shortened(text)}")
        return wrong + sweeps.differences(folder) + sweeps.faults(folder)

    return (trial for _ in range(100))


def odd_locks(sweeps: Sweeps) -> Iterator[Callable[[], list[str]]]:
    """Put something in each lock's place, or hold it elsewhere for a while: the sweep passes, waits, or names it."""

    def trial(lock: Path, how: str) -> list[str]:
        folder = sweeps.new()
        path = folder / lock
        path.parent.mkdir(parents=True)
        holder = None
        match how:
            case "left":
                path.write_text("4711\n")
            case "a link":
                path.symlink_to(folder / "nowhere")
            case "a folder":
                path.mkdir()
            case "held":
                holder = hold(path, random.uniform(0, 3 * sweeps.seconds))
        status, text = ended(start(folder, *SWEEP)), said(folder)
        if holder is not None:
            os.waitpid(holder, 0)
        named = status in (1, 2) and str(lock) in text and how in ("a link", "a folder")
        wrong = (
            [] if "Traceback" not in text and (status == 0 or named) else [f"{lock} {how}: {status}, {shortened(text)}"]
        )
        if path.is_symlink():
            path.unlink()
        elif path.is_dir():
            path.rmdir()
        return wrong + sweeps.faults(folder)

    hows = ("left", "a link", "a folder", "held")
    return (partial(trial, lock, how) for _ in range(5) for lock in sweeps.locks for how in hows)


def hold(path: Path, seconds: float) -> int:
    """Have a process hold a lock for a time, and die with it; its number."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    holder = os.fork()
    if not holder:
        time.sleep(seconds)
        os._exit(0)
    os.close(descriptor)
    return holder


def damages(sweeps: Sweeps) -> Iterator[Callable[[], list[str]]]:
    """Damage each file of a finished sweep in each way; the sweep redoes what it needs."""

    def trial(file: Path, how: str) -> list[str]:
        folder = sweeps.new(done=True)
        path, content = folder / file, (folder / file).read_bytes()
        path.unlink()
        match how:
            case "flipped":
                at = random.randrange(len(content))
                path.write_bytes(content[:at] + bytes([content[at] ^ 1 << random.randrange(8)]) + content[at + 1 :])
            case "truncated":
                path.write_bytes(content[: random.randrange(len(content))])
            case "empty":
                path.write_bytes(b"")
            case "a folder":  # it may be anybody's, so it is named and stays
                path.mkdir()
                status, text = ended(start(folder, *SWEEP)), said(folder)
                if status not in (1, 2) or f"{file}: Is a directory; move the folder away" not in text:
                    return [f"{file} {how}: {status}, {shortened(text)}"]
                path.rmdir()
        return [f"{file} {how}: {one}" for one in sweeps.faults(folder)]

    there = [path for path in sorted((sweeps.whole / "results").rglob("*")) if path.is_file() and path.stat().st_size]
    files = [path.relative_to(sweeps.whole) for path in there]  # an empty one is a lock, which `odd_locks` damages
    hows = ("flipped", "truncated", "empty", "gone", "a folder")
    return (partial(trial, file, how) for _ in range(4) for file in files for how in hows)


# -- bad command lines -------------------------------------------------------------------------------

#: What no setting of a type takes. Numbers that are out of every setting's range are among them.
_NEVER = ["{a: 1}", "${nope}", "[[1]]"]
_BAD = {
    bool: [*_NEVER, "abc", "2", "2.5", "nan", "[1]", ""],
    int: [*_NEVER, "abc", "2.5", "nan", "inf", "-7", "1e400", "[1]", "ü", "true", ""],
    float: [*_NEVER, "abc", "nan", "inf", "-7", "[1]", "ü", ""],
    str: [*_NEVER, "[1]", "größer als", "../x"],
    list: [*_NEVER, "3", "abc", "[abc]", "[nan]", "[null]", "[-1e400]", "ü", ""],
}
#: Settings that take any text, or that another setting decides.
_FREE = {
    "data",
    "model",
    "training",
    "claims",
    "optimizer",
    "_target_",
    "features",
    "fitted_to",
    "gives_way",
    "cluster",
}
_SCHEMAS: dict[str, Any] = {"": SweepConfig, "training.": Training, "training.optimizer.": Adam}
_SCHEMAS |= {"data.": SyntheticConfig, "model.": MixtureConfig}


def bad_lines() -> list[tuple[str, str]]:
    """Settings that have to be refused, `key=value` each, with the part of the key that the refusal names."""
    found = []
    for prefix, schema in _SCHEMAS.items():
        hints = get_type_hints(schema)
        for known in fields(schema):
            if known.name in _FREE or (prefix == "" and known.name == "train"):
                continue
            hint = hints[known.name]
            kinds = (
                [kind for kind in get_args(hint) if kind is not type(None)] if isinstance(hint, UnionType) else [hint]
            )
            kind = get_origin(kinds[0]) or kinds[0]
            values = [*_BAD[kind], *([] if isinstance(hint, UnionType) else ["null"])]
            found += [(f"{prefix}{known.name}={value}", known.name) for value in values]
    return found


def refused(folder: Path, line: str, name: str) -> list[str]:
    """What is wrong with how a bad setting is answered."""
    rest = [one for one in SWEEP if one.partition("=")[0] != line.partition("=")[0]]
    status = ended(start(folder, *rest, line))
    text = said(folder)
    if status == 2 and text.count("\n") == 1 and name in text and not (folder / "results").exists():
        return []
    shutil.rmtree(folder / "results", ignore_errors=True)
    return [f"{line}: status {status}, {text[-200:]!r}"]


def bad_command_lines(sweeps: Sweeps) -> Iterator[Callable[[], list[str]]]:
    """Settings of a wrong type or out of range: status 2, one line that names the setting, nothing trained."""
    folder = sweeps.new()
    return (partial(refused, folder, line, name) for line, name in bad_lines())


KINDS = {
    "deaths before each synchronisation, renaming and removal": deaths_at_writes,
    "a full disk at each of them": full_disks,
    "signals to a command or its group at random instants": kills,
    "signals to a worker": kills_of_a_worker,
    "several at once, some of them killed": several_at_once,
    "locks of another or left behind": odd_locks,
    "damaged files": damages,
    "bad command lines": bad_command_lines,
}


def main() -> int:
    """Run the trials; print a table, and every trial that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, help="of each kind; all by default")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), help="which of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--into", type=Path, help="a CSV that gets a line for each trial")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    torch.set_num_threads(1)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        sweeps = Sweeps(Path(folder))
        print("| what | trials | failed | minutes |\n| --- | ---: | ---: | ---: |")
        for name in arguments.kinds:
            trials, began = list(KINDS[name](sweeps)), time.monotonic()
            if arguments.trials is not None and arguments.trials < len(trials):
                trials = random.sample(trials, arguments.trials)
            wrong = []
            for trial in trials:
                if found := trial():
                    wrong.append(found)
                if arguments.into is not None:
                    with arguments.into.open("a", newline="") as file:
                        csv.writer(file).writerow([arguments.seed, name, "; ".join(found)])
            failed += len(wrong)
            print(f"| {name} | {len(trials)} | {len(wrong)} | {(time.monotonic() - began) / 60:.1f} |", flush=True)
            for found in wrong:
                print("\n".join(found), file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
