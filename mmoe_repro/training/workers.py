"""Chunks trained side by side: one single-threaded process per core.

One thread per chunk makes a chunk's bits independent of the number of cores, and keeps its numbers in one
core's cache.
"""

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from mmoe_repro import processes
from mmoe_repro.errors import Killed
from mmoe_repro.processes import Stopped, Workers, one_thread
from mmoe_repro.runs.store import CellStore
from mmoe_repro.settings.cell import Cell
from mmoe_repro.training.chunk import train_chunk
from mmoe_repro.training.progress import ProgressBar

#: Seconds between what a worker sends of its progress.
_SENT_EVERY = 0.5
#: Seconds between looks at tasks that another command is training.
_LOOKED_EVERY = 1.0


@dataclass(frozen=True)
class Assignment:
    """A chunk to train.

    Attributes:
        store: of its cell.
        cell: how its runs are trained.
        chunk: its seeds, one of `store.chunks`.
    """

    store: CellStore
    cell: Cell
    chunk: range


def train(tasks: Sequence[Assignment], workers: int, bar: ProgressBar) -> list[tuple[Assignment, BaseException]]:
    """Train all tasks in `workers` processes, this one among them; a task that fails does not stop the others.

    A full disk does, since it is full for all of them. What a worker was at that is killed, perhaps since memory is
    short, goes on at the end in another process, of which there is one less. Tasks that another command is training
    are looked at again when all others are done, until it has stored them, or has died and left them to this one.

    Returns:
        the tasks that failed, with the reason.

    Raises:
        KeyboardInterrupt: after the other processes have stored what they had done.
    """
    # Commands that share the work begin at different tasks, so that they seldom want the same one.
    first = random.randrange(len(tasks)) if tasks else 0
    left = [*tasks[first:], *tasks[:first]]
    failures: list[tuple[Assignment, BaseException]] = []
    waiting = False
    with Workers(min(workers, len(tasks)) - 1) as others:
        listener = _Here(bar, others)
        while left and not others.stopping():
            locked, lost = _train_unlocked(left, others, listener, failures)
            if len(locked) == len(left):
                if not waiting:
                    bar.notice(f"waiting for other processes, which train {_runs(locked)} of these runs")
                waiting = True
                time.sleep(_LOOKED_EVERY)
            left = locked + lost
    listener.show()
    return failures


def _runs(tasks: Sequence[Assignment]) -> str:
    return f"{sum(len(task.chunk) for task in tasks):,}"


def _train_unlocked(
    tasks: Sequence[Assignment], others: Workers, listener: "_Here", failures: list[tuple[Assignment, BaseException]]
) -> tuple[list[Assignment], list[Assignment]]:
    """Train the tasks that no other command is training, and add those that fail to `failures`.

    Returns:
        the tasks that another command is training, and those of workers that were killed.
    """
    locked, lost = [], []
    futures = [others.submit(_train, task) for task in tasks]
    # The other processes take tasks from the start of the queue, this one from its end.
    for task, future in reversed(list(zip(tasks, futures, strict=True))):
        if others.stopping() or not future.cancel():
            break
        try:
            with one_thread():
                if not train_chunk(task.store, task.cell, task.chunk, listener):
                    locked.append(task)
        except Stopped:
            break
        except Exception as error:
            failures.append((task, error))
            if isinstance(error, OSError):
                others.stop()
    while not all(future.done() or (others.stopping() and future.cancel()) for future in futures):
        time.sleep(0.1)
        listener.show()
    for task, future in zip(tasks, futures, strict=True):
        if future.cancelled():
            continue
        reason = future.exception()
        if isinstance(reason, Killed):
            listener.notice(f"{reason}; the other processes go on with its work")
            lost.append(task)
        elif reason is not None and not isinstance(reason, Stopped):
            failures.append((task, reason))
        elif reason is None and not future.result():
            locked.append(task)
    return locked, lost


class _Here:
    """The `Listener` of this process, which also shows what the others send."""

    def __init__(self, bar: ProgressBar, others: Workers) -> None:
        self._bar, self._others = bar, others

    def progress(self, run_steps: int) -> None:
        self._bar.progress(run_steps)
        self.show()

    def at_work(self, what: str) -> None:
        self._bar.at_work(os.getpid(), what)

    def notice(self, message: str) -> None:
        self._bar.notice(message)

    def stopping(self) -> bool:
        return self._others.stopping()

    def show(self) -> None:
        """Show what has come in."""
        for kind, content in self._others.received():
            getattr(self._bar, kind)(*content)


# -- in a worker ---------------------------------------------------------------------------------


class _Sender:
    """A `Listener` that sends what it hears to the process that this one works for, now and then."""

    def __init__(self) -> None:
        self._run_steps, self._sent = 0, time.monotonic()

    def progress(self, run_steps: int) -> None:
        self._run_steps += run_steps
        if time.monotonic() - self._sent > _SENT_EVERY:
            self._send()

    def _send(self) -> None:
        processes.send(("progress", (self._run_steps,)))
        self._run_steps, self._sent = 0, time.monotonic()

    def at_work(self, what: str) -> None:
        self._send()
        processes.send(("at_work", (os.getpid(), what)))

    def notice(self, message: str) -> None:
        processes.send(("notice", (message,)))

    def stopping(self) -> bool:
        return processes.stopping()


_listener = _Sender()  # one for all tasks, since it holds progress back


def _train(task: Assignment) -> bool:
    try:
        with one_thread():
            return train_chunk(task.store, task.cell, task.chunk, _listener)
    except OSError:
        processes.stop_all()
        raise
