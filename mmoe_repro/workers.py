"""Chunks trained side by side: one single-threaded process per core.

One thread per chunk makes a chunk's bits independent of the number of cores, and keeps its numbers in one
core's cache.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from queue import Empty
from typing import Any

import torch

from mmoe_repro.cell import Stopped, train_chunk
from mmoe_repro.config import Cell
from mmoe_repro.progress import ProgressBar
from mmoe_repro.store import CellStore


@dataclass(frozen=True)
class Task:
    """One chunk of a cell to train."""

    store: CellStore
    cell: Cell
    chunk: range


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def train(tasks: Sequence[Task], workers: int, bar: ProgressBar) -> list[tuple[Task, BaseException]]:
    """Train all tasks in `workers` processes, this one among them; a task that fails does not stop the others.

    A full disk does, since it is full for all of them.

    Returns:
        the tasks that failed, with the reason.

    Raises:
        KeyboardInterrupt: after the other processes have stored what they had done.
    """
    context = multiprocessing.get_context("spawn")
    report = _Main(bar, context.Queue(), context.Event())
    others = min(workers, len(tasks)) - 1
    pool = ProcessPoolExecutor(others, context, _start_worker, (report.messages, report.stop)) if others else None
    futures: list[Future[None]] = [pool.submit(_work, task) if pool else Future() for task in tasks]
    failures: list[tuple[Task, BaseException]] = []
    try:
        # The other processes take tasks from the start of the queue, this one from its end.
        for task, future in reversed(list(zip(tasks, futures, strict=True))):
            if report.stopping() or not future.cancel():
                break
            try:
                with one_thread():
                    train_chunk(task.store, task.cell, task.chunk, report)
            except Stopped:
                break
            except Exception as error:
                failures.append((task, error))
                if isinstance(error, OSError):
                    report.stop.set()
        while not all(future.done() or (report.stopping() and future.cancel()) for future in futures):
            time.sleep(0.1)
            report.show()
    except KeyboardInterrupt:
        report.stop.set()
        raise
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
    report.show()
    for task, future in zip(tasks, futures, strict=True):
        reason = None if future.cancelled() else future.exception()
        if reason is not None and not isinstance(reason, Stopped):
            failures.append((task, reason))
    return failures


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


class _Main:
    """The main process's `Report`, which also shows what the other processes send."""

    def __init__(self, bar: ProgressBar, messages: "Queue[tuple[str, Any]]", stop: Event) -> None:
        self.messages, self.stop, self._bar = messages, stop, bar

    def progress(self, run_steps: int, loss: float | None = None) -> None:
        self._bar.progress(run_steps, loss)
        self.show()

    def notice(self, message: str) -> None:
        self._bar.notice(message)

    def stopping(self) -> bool:
        return self.stop.is_set()

    def show(self) -> None:
        """Show what has come in."""
        while True:
            try:
                kind, content = self.messages.get_nowait()
            except Empty:
                return
            if kind == "progress":
                self._bar.progress(*content)
            else:
                self._bar.notice(content)


class _FromWorker:
    """A `Report` that sends what it hears to the main process, twice a second at most."""

    def __init__(self, messages: "Queue[tuple[str, Any]]", stop: Event) -> None:
        self._messages, self.stop = messages, stop
        self._run_steps, self._sent = 0, time.monotonic()

    def progress(self, run_steps: int, loss: float | None = None) -> None:
        self._run_steps += run_steps
        if time.monotonic() - self._sent > 0.5:
            self._messages.put(("progress", (self._run_steps, loss)))
            self._run_steps, self._sent = 0, time.monotonic()

    def notice(self, message: str) -> None:
        self._messages.put(("notice", message))

    def stopping(self) -> bool:
        return self.stop.is_set()


_report: _FromWorker


def _start_worker(messages: "Queue[tuple[str, Any]]", stop: Event) -> None:
    global _report
    _report = _FromWorker(messages, stop)
    follow_parent()


def follow_parent() -> None:
    """Begin a process that works for another: it ends with that one, which also decides what Ctrl-C means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _work(task: Task) -> None:
    try:
        with one_thread():
            train_chunk(task.store, task.cell, task.chunk, _report)
    except OSError:
        _report.stop.set()
        raise
