"""Submitit's Slurm launcher, but it waits for all jobs whatever becomes of one, and ends them on Ctrl-C.

Submitit asks Slurm's accounting whether a job has died, and waits for ever where there is none. Here a job is over when
it has left a result or is no longer in the queue, where one that was preempted is, too.
"""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus

from mmoe_repro.errors import Terminated

try:
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf, SlurmQueueConf
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
except ImportError:  # without the extra `slurm`; `cluster=slurm` then says so
    SlurmLauncher = SlurmQueueConf = object

#: Seconds between looks at the queue, and those that a result may take to be seen on a network file system.
_LOOKED_EVERY, _SEEN_WITHIN = 1.0, 10.0


@dataclass
class PatientSlurmConf(SlurmQueueConf):
    """Settings as of `submitit_slurm`."""

    _target_: str = "hydra_plugins.mmoe_repro_slurm.PatientSlurmLauncher"


if SlurmQueueConf is not object:
    ConfigStore.instance().store(
        group="hydra/launcher", name="mmoe_slurm", node=PatientSlurmConf, provider="mmoe_repro"
    )


class PatientSlurmLauncher(SlurmLauncher):
    """An array of jobs; submitit puts one that is preempted back into the queue, and it goes on from checkpoints."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit the jobs and wait for all; of one that died, the reason is in its `return_value`.

        Raises:
            KeyboardInterrupt: after the jobs were cancelled, which its message says.
        """
        jobs = self._submit(job_overrides, initial_job_idx)
        array = jobs[0].job_id.split("_")[0]
        print(f"mmoe-repro: Slurm job {array}, in {len(jobs)} parts; logs in {jobs[0].paths.folder}", file=sys.stderr)
        try:
            return _wait(jobs, array)
        except KeyboardInterrupt as interrupt:
            subprocess.run(["scancel", array], check=False)
            interrupt.args = (f"Slurm job {array} is cancelled",)
            raise

    def __call__(self, *arguments: Any) -> JobReturn:
        """Run one job, in its own process.

        Raises:
            SystemExit: it was preempted, and is back in the queue.
        """
        from submitit import JobEnvironment

        number = getattr(signal, f"SIG{JobEnvironment.USR_SIG}")
        requeue: Any = signal.getsignal(number)

        def on_preemption(number: int, frame: FrameType | None) -> None:
            try:
                requeue(number, frame)
            except BaseException as end:
                # As Ctrl-C it stops training and passes through what takes any error for one of the user's code.
                raise Terminated from end

        signal.signal(number, on_preemption)
        try:
            result: JobReturn = super().__call__(*arguments)
        except Terminated as stopped:
            raise stopped.__cause__ or stopped from None
        return result

    def _submit(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        import submitit  # not at the top, so that Hydra finds its plugins fast

        shared = BaseQueueConf.__dataclass_fields__
        settings = {key if key in shared else f"slurm_{key}": value for key, value in self.params.items()}
        folder, timeouts = settings.pop("submitit_folder"), settings.pop("slurm_max_num_timeout")
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=timeouts)
        executor.update_parameters(**settings)
        state = Singleton.get_state()
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        calls = [(list(one), "hydra.sweep.dir", n, "", state) for n, one in zip(numbers, job_overrides, strict=True)]
        return list(executor.map_array(self, *zip(*calls, strict=True)))


def _wait(jobs: Sequence[Any], array: str) -> list[JobReturn]:
    over: dict[str, JobReturn] = {}
    unseen: dict[str, float] = {}
    while True:
        queued = _queued(array)  # before the results, of which a job leaves one before it leaves the queue
        left_results = set(os.listdir(jobs[0].paths.folder))
        for job in jobs:
            if job.job_id in over:
                continue
            if job.paths.result_pickle.name in left_results:
                over[job.job_id] = _result(job)
            elif queued is not None and job.job_id not in queued:
                since = unseen.setdefault(job.job_id, time.monotonic())
                if time.monotonic() - since > _SEEN_WITHIN:
                    over[job.job_id] = _failed(f"Slurm job {job.job_id} {_end(job)}")
            else:
                unseen.pop(job.job_id, None)
        if len(over) == len(jobs):
            return [over[job.job_id] for job in jobs]
        time.sleep(_LOOKED_EVERY)


def _queued(array: str) -> set[str] | None:
    """The jobs of an array that wait or run; None where Slurm does not answer now."""
    asked = _ask("squeue", "--noheader", "--array", "--format=%i", f"--jobs={array}")
    if asked.returncode == 0:
        return set(asked.stdout.split())
    return set() if "Invalid job id" in asked.stderr else None


def _end(job: Any) -> str:
    """How a job ended, which Slurm remembers for some minutes without accounting, too."""
    words = _ask("scontrol", "show", "job", job.job_id).stdout.split()
    states = [word.partition("=")[2] for word in words if word.startswith("JobState=")]
    how = f"ended as {states[0]}" if states else "ended without a result"
    return f"{how}; its log: {job.paths.stderr}"


def _ask(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _result(job: Any) -> JobReturn:
    kind, result = pickle.loads(job.paths.result_pickle.read_bytes())
    log = f"its log: {job.paths.stderr}"
    if kind == "error":
        return _failed(f"Slurm job {job.job_id}: {result.strip().splitlines()[-1]}; {log}")
    if result.status == JobStatus.COMPLETED:
        result.return_value = [f"{line}; {log}" for line in result.return_value]
    return result


def _failed(reason: str) -> JobReturn:
    return JobReturn(status=JobStatus.FAILED, _return_value=RuntimeError(reason))
