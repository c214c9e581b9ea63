"""Processes that work for this one: how they start, how they are asked to stop, and that they end with it."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import torch

from mmoe_repro.errors import Terminated

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Event

_T = TypeVar("_T")
#: Seconds that a worker which is to end takes at most to send its last result.
_SENDING = 0.5


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


class Workers:
    """Processes of one thread each that do what is submitted to them, for as long as a `with` block lasts.

    If an exception leaves the block, they are asked to stop, and the block ends when they have; what has not begun is
    cancelled. Ctrl-C and SIGTERM are such exceptions, `KeyboardInterrupt` and its subclass `Terminated`; only this
    process acts on Ctrl-C. A worker that gets SIGTERM itself stops and ends. If this process is killed, they end with
    it.

    Work may send messages to this process (`send`) and has to look at times whether to stop (`stopping`).

    Args:
        count: how many; none is possible.
    """

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop, self._messages = context.Event(), context.Queue()
        arguments = (self._stop, self._messages)
        self._pool = ProcessPoolExecutor(count, context, _begin, arguments) if count else None
        self._restored: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other may do so
            self._restored = signal.signal(signal.SIGTERM, _raise_terminated)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None:
                self.stop()
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
        finally:
            if self._restored is not None:
                signal.signal(signal.SIGTERM, self._restored)

    def submit(self, function: Callable[..., _T], *arguments: Any) -> Future[_T]:
        """Have a worker call a function; if there are no workers, the future stays pending until it is cancelled."""
        return Future() if self._pool is None else self._pool.submit(_work, function, *arguments)

    def stop(self) -> None:
        """Ask all workers to stop."""
        self._stop.set()

    def stopping(self) -> bool:
        """Whether they were asked to stop, by this process or by one of them."""
        return self._stop.is_set()

    def received(self) -> Iterator[Any]:
        """The messages that have come in."""
        while True:
            try:
                yield self._messages.get_nowait()
            except Empty:
                return


def _raise_terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


# -- in a worker ---------------------------------------------------------------------------------

_stop: "Event"
_messages: "Queue[Any]"
_working = _terminated = False


def stopping() -> bool:
    """Whether this worker was asked to stop."""
    return _terminated or _stop.is_set()


def stop_all() -> None:
    """Ask all workers to stop, and the process that they work for to submit no more."""
    _stop.set()


def send(message: Any) -> None:
    """Send a message to the process that this worker works for."""
    _messages.put(message)


def _begin(stop: "Event", messages: "Queue[Any]") -> None:
    global _stop, _messages
    _stop, _messages = stop, messages
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _terminate)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _terminate(number: int, frame: FrameType | None) -> None:
    global _terminated
    _terminated = True
    if not _working:
        sys.exit(128 + number)


def _terminate_later() -> None:
    """End when the result has been sent, from where work is waited for: the pool reports an exit from elsewhere."""
    time.sleep(_SENDING)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def _work(function: Callable[..., _T], *arguments: Any) -> _T:
    global _working
    if stopping():
        raise Stopped  # it had been handed over, but not begun
    _working = True
    try:
        return function(*arguments)
    finally:
        _working = False
        if _terminated:
            threading.Thread(target=_terminate_later, daemon=True).start()
