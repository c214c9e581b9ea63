"""Chunks are trained side by side, whatever becomes of a process that trains them."""

import os
import signal

import pytest
from helpers import SMALL, cell_of

from mmoe_repro.training.chunk import open_store
from mmoe_repro.training.progress import ProgressBar
from mmoe_repro.training.workers import Assignment, train


class KillingBar(ProgressBar):
    """Kills the first worker that it hears of, in the middle of its chunk."""

    def __init__(self):
        super().__init__("40 runs", 40 * 200)
        self.killed, self.notices = None, []

    def at_work(self, worker, what):
        if self.killed is None and what and worker != os.getpid():
            self.killed = worker
            os.kill(worker, signal.SIGKILL)

    def notice(self, message):
        self.notices.append(message)


@pytest.mark.slow
def test_the_work_of_a_worker_that_is_killed_goes_on_in_another_process(tmp_path):
    cell = cell_of("model=mmoe", "data.correlation=0.5", *SMALL)
    store = open_store(tmp_path, cell)
    tasks = [Assignment(store, cell, chunk) for chunk in store.chunks(range(20))]
    bar = KillingBar()
    assert train(tasks, 2, bar) == []
    assert bar.killed is not None
    assert bar.notices == [
        "a worker was ended by SIGKILL; the system does so when memory is short, and fewer workers need less; "
        "the other processes go on with its work"
    ]
    assert sorted(store.finished(), key=min) == [task.chunk for task in tasks]
