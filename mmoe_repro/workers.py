"""Chunks trained side by side: one single-threaded process per core.

One thread per chunk makes a chunk's bits independent of the number of cores, and keeps its numbers in one
core's cache.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
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
    device: str


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def train(tasks: Sequence[Task], workers: int, bar: ProgressBar) -> list[tuple[Task, BaseException]]:
    """Train all tasks; one that fails does not stop the others.

    Returns:
        the tasks that failed, with the reason.

    Raises:
        KeyboardInterrupt: after the workers have stored what they had done.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        return _train_here(tasks, bar)
    return _train_in_processes(tasks, workers, bar)


class _Here:
    """A `Report` for training in this process."""

    def __init__(self, bar: ProgressBar) -> None:
        self.progress, self.notice = bar.progress, bar.notice

    def stopping(self) -> bool:
        return False


def _train_here(tasks: Sequence[Task], bar: ProgressBar) -> list[tuple[Task, BaseException]]:
    failures: list[tuple[Task, BaseException]] = []
    with one_thread():
        for task in tasks:
            try:
                train_chunk(task.store, task.cell, task.chunk, task.device, _Here(bar))
            except Exception as error:
                failures.append((task, error))
                if isinstance(error, OSError):
                    break  # a full disk is full for the others too
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


def _train_in_processes(tasks: Sequence[Task], workers: int, bar: ProgressBar) -> list[tuple[Task, BaseException]]:
    context = multiprocessing.get_context("spawn")
    messages: Queue[tuple[str, Any]] = context.Queue()
    stop = context.Event()
    failures: list[tuple[Task, BaseException]] = []

    def show() -> None:
        while True:
            try:
                kind, content = messages.get_nowait()
            except Empty:
                return
            if kind == "progress":
                bar.progress(*content)
            else:
                bar.notice(content)

    with ProcessPoolExecutor(workers, context, _start_worker, (messages, stop)) as pool:
        futures: dict[Future[None], Task] = {pool.submit(_work, task): task for task in tasks}
        pending = set(futures)
        try:
            while pending:
                done, pending = wait(pending, timeout=0.2)
                show()
                for future in done:
                    error = None if future.cancelled() else future.exception()
                    if error is None or isinstance(error, Stopped):
                        continue
                    failures.append((futures[future], error))
                    if isinstance(error, OSError | BrokenProcessPool):
                        stop.set()
                        pool.shutdown(wait=False, cancel_futures=True)
        except KeyboardInterrupt:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    show()
    return failures


class _FromWorker:
    """A `Report` that sends what it hears to the main process, twice a second at most."""

    def __init__(self, messages: "Queue[tuple[str, Any]]", stop: Event) -> None:
        self._messages, self._stop = messages, stop
        self._run_steps, self._sent = 0, time.monotonic()

    def progress(self, run_steps: int, loss: float | None = None) -> None:
        self._run_steps += run_steps
        if time.monotonic() - self._sent > 0.5:
            self._messages.put(("progress", (self._run_steps, loss)))
            self._run_steps, self._sent = 0, time.monotonic()

    def notice(self, message: str) -> None:
        self._messages.put(("notice", message))

    def stopping(self) -> bool:
        return self._stop.is_set()


_report: _FromWorker


def _start_worker(messages: "Queue[tuple[str, Any]]", stop: Event) -> None:
    import signal

    global _report
    _report = _FromWorker(messages, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides what Ctrl-C means
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _work(task: Task) -> None:
    with one_thread():
        train_chunk(task.store, task.cell, task.chunk, task.device, _report)
