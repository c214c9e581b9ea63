"""Workers do what is submitted, on one thread each, stop when they are asked to, and end with their process."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmoe_repro import processes
from mmoe_repro.errors import Killed, Terminated
from mmoe_repro.processes import Stopped, Workers, undisturbed


def double(number):
    processes.send(number)
    return 2 * number, torch.get_num_threads(), os.getpid()


def fail():
    raise ValueError("no good")


def work_until_asked_to_stop(folder):
    """Leave a file at the start and one at the end, as a chunk leaves its checkpoint."""
    (folder / f"begun-{os.getpid()}").touch()
    while not processes.stopping():
        time.sleep(0.01)
    (folder / f"stored-{os.getpid()}").touch()
    raise Stopped


def wait_for(folder, pattern, count=1):
    deadline = time.monotonic() + 60
    while len(found := list(folder.glob(pattern))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # One that has ended stays until its parent, whoever that is now, takes notice.
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_until_ended(workers):
    deadline = time.monotonic() + 60
    while any(alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_they_return_raise_and_send():
    with Workers(2) as workers:
        futures = [workers.submit(double, number) for number in range(4)]
        results = [future.result() for future in futures]
        with pytest.raises(ValueError, match="no good"):
            workers.submit(fail).result()
    assert [result[0] for result in results] == [0, 2, 4, 6]
    assert {result[1] for result in results} == {1}, "threads"
    assert os.getpid() not in {result[2] for result in results}
    assert sorted(workers.received()) == [0, 1, 2, 3]


def test_without_workers_what_is_submitted_can_be_taken_back():
    with Workers(0) as workers:
        assert workers.submit(double, 1).cancel()


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_they_stop_in_their_own_time_when_an_exception_leaves_the_block(tmp_path, error):
    with pytest.raises(error), Workers(2) as workers:
        futures = [workers.submit(work_until_asked_to_stop, tmp_path) for _ in range(5)]
        wait_for(tmp_path, "begun-*", 2)
        raise error
    assert len(list(tmp_path.glob("stored-*"))) == 2, "the others had not begun"
    assert all(future.cancelled() or isinstance(future.exception(), Stopped) for future in futures)


def test_sigterm_is_an_exception_in_the_block_and_what_it_was_before_after_it(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), Workers(1) as workers:
        workers.submit(work_until_asked_to_stop, tmp_path)
        wait_for(tmp_path, "begun-*")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    assert len(list(tmp_path.glob("stored-*"))) == 1
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_worker_that_is_terminated_stops_in_its_own_time(tmp_path):
    with Workers(1) as workers:
        future = workers.submit(work_until_asked_to_stop, tmp_path)
        (begun,) = wait_for(tmp_path, "begun-*")
        worker = int(begun.name.split("-")[1])
        os.kill(worker, signal.SIGTERM)
        assert isinstance(future.exception(60), Stopped)
        wait_until_ended([worker])
    assert len(list(tmp_path.glob("stored-*"))) == 1


def die(number):
    os.kill(os.getpid(), number)


@pytest.mark.slow
def test_one_that_is_killed_costs_its_own_work_alone():
    with Workers(2) as workers:
        killed, *others = [
            workers.submit(die, signal.SIGKILL),
            *(workers.submit(double, number) for number in range(4)),
        ]
        with pytest.raises(Killed, match="SIGKILL; the system does so when memory is short"):
            killed.result(60)
        assert [other.result(60)[0] for other in others] == [0, 2, 4, 6]


def test_when_all_are_killed_what_has_not_begun_can_be_taken_back():
    with Workers(1) as workers:
        killed, waiting = workers.submit(die, signal.SIGABRT), workers.submit(double, 1)
        with pytest.raises(Killed, match=r"^a worker was ended by SIGABRT$"):
            killed.result(60)
        assert waiting.cancel()


def test_ctrl_c_and_sigterm_at_any_instant_of_its_start_do_not_kill_one(tmp_path):
    """A worker that is asked to stop ends in its own time, and says nothing of its own."""
    with Workers(1) as workers:
        future = workers.submit(work_until_asked_to_stop, tmp_path)
        while not (started := multiprocessing.active_children()) or started[0].pid is None:
            time.sleep(0.001)
        os.kill(started[0].pid, signal.SIGINT)
        os.kill(started[0].pid, signal.SIGTERM)
        assert isinstance(future.exception(60), Stopped | Killed)
        wait_until_ended([started[0].pid])


class Unpicklable(Exception):
    def __init__(self, one, other):
        super().__init__(one)


def fail_oddly(local):
    raise type("Local", (Exception,), {})("odd") if local else Unpicklable("odd", 1)


@pytest.mark.parametrize("local", [True, False])
def test_an_error_that_cannot_be_sent_is_told_and_the_worker_goes_on(local):
    with Workers(1) as workers:
        assert workers.submit(fail_oddly, local).exception(60) is not None
        assert workers.submit(double, 1).result(60)[0] == 2


def test_they_end_with_a_process_that_is_killed(tmp_path):
    code = f"""
import time
from pathlib import Path
from test_processes import work_until_asked_to_stop
from mmoe_repro.processes import Workers

if __name__ == "__main__":
    with Workers(2) as workers:
        for _ in range(2):
            workers.submit(work_until_asked_to_stop, Path({str(tmp_path)!r}))
        time.sleep(60)
"""
    (tmp_path / "main.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    main = subprocess.Popen([sys.executable, tmp_path / "main.py"], env=environment)
    workers = [int(begun.name.split("-")[1]) for begun in wait_for(tmp_path, "begun-*", 2)]
    main.kill()
    main.wait()
    wait_until_ended(workers)
    assert not list(tmp_path.glob("stored-*"))


def quota(folder, words):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(f"{words}\n")


def test_a_control_group_and_those_around_it_limit_the_cores(tmp_path):
    group, root = tmp_path / "cgroup", tmp_path / "fs"
    group.write_text("12:cpu:/old\n0::/slurm/job_7\n")
    quota(root / "slurm/job_7", "max 100000")
    assert processes._quotas(group, root) == []
    quota(root / "slurm", "450000 100000")
    assert processes._quotas(group, root) == [4]
    quota(root / "slurm/job_7", "200000 100000")
    assert processes._quotas(group, root) == [2, 4]
    assert processes._quotas(tmp_path / "none", root) == [], "not Linux"


def test_slurm_and_quotas_leave_at_least_one_core_and_not_more_than_there_are(monkeypatch):
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    monkeypatch.setattr(processes, "_quotas", list)
    here = processes.cores()
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert processes.cores() == 1
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", str(here + 1))
    assert processes.cores() == here
    monkeypatch.setattr(processes, "_quotas", lambda: [0])  # half a core
    assert processes.cores() == 1


def test_an_undisturbed_block_ends_before_it_is_interrupted():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with undisturbed():
            signal.raise_signal(signal.SIGINT)
            done.append("inside")
        done.append("after")
    assert done == ["inside"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
