"""Processes that work for this one: how they start, how they are asked to stop, and that they end with it."""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from pickle import PicklingError
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

import torch

from mmoe_repro.errors import Killed, one_line, raise_terminated

_T = TypeVar("_T")
_SPAWN = multiprocessing.get_context("spawn")
#: Signals that ask for an end.
_ASKING = {signal.SIGINT, signal.SIGTERM}


class Stopped(Exception):
    """Work was left unfinished, as asked; what it had done is stored."""


def cores() -> int:
    """Cores that this process may use: what its affinity, its control group's quota and Slurm all leave to it."""
    allowed = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    if (of_slurm := os.environ.get("SLURM_CPUS_PER_TASK", "")).isdigit():
        allowed.append(int(of_slurm))
    return max(1, min(allowed + _quotas()))


def _quotas(group: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """Whole cores that the quotas of this process's control group and of those around it allow; none on other systems.

    Args:
        group: tells the group (cgroup v2, line `0::/its/path`).
        root: where the groups are.
    """
    try:
        paths = [line.partition("::")[2] for line in group.read_text().splitlines() if line.startswith("0::")]
    except OSError:
        return []
    quotas = []
    for path in paths:
        inner = root / path.lstrip("/")
        for folder in (inner, *inner.parents):
            with suppress(OSError, ValueError):  # "max 100000": no quota
                quota, period = map(int, (folder / "cpu.max").read_text().split())
                quotas.append(quota // period)
    return quotas


@contextmanager
def one_thread() -> Iterator[None]:
    """Train on one thread of this process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # A dead unit's moments decay to denormal numbers, which are slow; zero serves as well.
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the block ends: one inside of a database's commit may leave it locked."""
    came: set[int] = set()
    before = {number: signal.signal(number, lambda number, frame: came.add(number)) for number in _ASKING}
    try:
        yield
    finally:
        for asking, handler in before.items():
            signal.signal(asking, handler)
        for number in came:
            signal.raise_signal(number)


class Workers:
    """Processes of one thread each that do what is submitted to them, for as long as a `with` block lasts.

    If an exception leaves the block, they are asked to stop, and the block ends when they have; what has not begun is
    cancelled. Ctrl-C and SIGTERM are such exceptions, `KeyboardInterrupt` and its subclass `Terminated`; only this
    process acts on Ctrl-C. A worker that gets SIGTERM itself stops and ends. One that is killed costs what it was
    doing, whose future raises `Killed`; the others go on without it. If this process is killed, they end with it.

    Work may send messages to this process (`send`) and has to look at times whether to stop (`stopping`).

    Args:
        count: how many; none is possible.
    """

    def __init__(self, count: int) -> None:
        # A pipe to ask through and one to each worker: a lock would stay locked with a worker that is killed.
        self._asked, self._ask = _SPAWN.Pipe(duplex=False)
        self._tasks: SimpleQueue[tuple[Future[Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._messages: SimpleQueue[Any] = SimpleQueue()
        self._threads = [threading.Thread(target=self._employ, daemon=True) for _ in range(count)]
        self._restored: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other may do so
            self._restored = signal.signal(signal.SIGTERM, raise_terminated)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None:
                self.stop()
            with suppress(Empty):
                while (task := self._tasks.get_nowait()) is not None:
                    task[0].cancel()
            for _ in self._threads:
                self._tasks.put(None)
            for thread in self._threads:
                thread.join()
        finally:
            if self._restored is not None:
                signal.signal(signal.SIGTERM, self._restored)

    def submit(self, function: Callable[..., _T], *arguments: Any) -> Future[_T]:
        """Have a worker call a function; if there are none (left), the future stays pending until it is cancelled."""
        future: Future[_T] = Future()
        self._tasks.put((future, (function, *arguments)))
        return future

    def stop(self) -> None:
        """Ask all workers to stop."""
        self._ask.send(None)

    def stopping(self) -> bool:
        """Whether they were asked to stop, by this process or by one of them."""
        return self._asked.poll()

    def received(self) -> Iterator[Any]:
        """The messages that have come in."""
        while True:
            try:
                yield self._messages.get_nowait()
            except Empty:
                return

    def _employ(self) -> None:
        """Have a worker of its own do one task after the other, until there are no more, or it ends by itself."""
        here, there = _SPAWN.Pipe()
        worker = _SPAWN.Process(target=_serve, args=(there, self._asked, self._ask))
        while (task := self._tasks.get()) is not None:
            future, call = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                if worker.pid is None:
                    _start(worker)
                    there.close()
                here.send(call)
                while (answer := here.recv())[0] == "message":
                    self._messages.put(answer[1])
                kind, value = answer
            except (EOFError, ConnectionError):
                worker.join()
                future.set_exception(Killed(worker.exitcode or 0))
                break
            except Exception as error:  # of what cannot be sent, or of a process that cannot be started
                kind, value = "error", error
            future.set_exception(value) if kind == "error" else future.set_result(value)
        if worker.pid is not None:
            with suppress(ConnectionError):  # it has ended by itself
                here.send(None)
            worker.join()
        here.close()


def _start(worker: BaseProcess) -> None:
    """Start a worker that Ctrl-C and SIGTERM do not reach before it is ready for them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        worker.start()
        return
    resource_tracker.ensure_running()  # else `start` would do so, and unblock the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ASKING)
    worker.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


# -- in a worker ---------------------------------------------------------------------------------

_main: Connection
_asked: Connection
_ask: Connection
_working = _terminated = False


def stopping() -> bool:
    """Whether this worker was asked to stop."""
    return _terminated or _asked.poll()


def stop_all() -> None:
    """Ask all workers to stop, and the process that they work for to submit no more."""
    _ask.send(None)


def send(message: Any) -> None:
    """Send a message to the process that this worker works for."""
    _main.send(("message", message))


def _serve(main: Connection, asked: Connection, ask: Connection) -> None:
    """Do what the main process sends, until it sends nothing, is gone, or SIGTERM ends this worker."""
    global _main, _asked, _ask, _working
    _main, _asked, _ask = main, asked, ask
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _terminate)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKING)
    threading.Thread(target=_end_with_main, daemon=True).start()
    with suppress(EOFError, ConnectionError):
        while not _terminated and (call := main.recv()) is not None:
            _working = True
            answer = _answer(*call)
            try:
                main.send(answer)
            except (AttributeError, PicklingError, TypeError) as error:
                main.send(("error", RuntimeError(f"{one_line(error)}: {answer[1]}")))
            _working = False


def _answer(function: Callable[..., Any], *arguments: Any) -> tuple[str, Any]:
    try:
        if stopping():
            raise Stopped  # it had been handed over, but not begun
        return "result", function(*arguments)
    except Exception as error:
        error.add_note(f"In a worker:\n{traceback.format_exc()}")  # which pickling would lose
        return "error", error


def _end_with_main() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _terminate(number: int, frame: FrameType | None) -> None:
    global _terminated
    _terminated = True
    if not _working:
        sys.exit(128 + number)
