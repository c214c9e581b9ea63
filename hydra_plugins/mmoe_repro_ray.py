"""Hydra's Ray launcher, but it waits for all jobs whatever becomes of one, and works on a cluster that is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, setup_globals

try:
    from hydra_plugins.hydra_ray_launcher._config import RayLauncherConf
    from hydra_plugins.hydra_ray_launcher.ray_launcher import RayLauncher
except ImportError:  # without the extra `ray`; `cluster=ray` then says so
    RayLauncher = RayLauncherConf = object


@dataclass
class PatientRayConf(RayLauncherConf):
    """Settings as of `ray`."""

    _target_: str = "hydra_plugins.mmoe_repro_ray.PatientRayLauncher"


if RayLauncherConf is not object:
    ConfigStore.instance().store(group="hydra/launcher", name="mmoe_ray", node=PatientRayConf, provider="mmoe_repro")


class PatientRayLauncher(RayLauncher):
    """A Ray task for each job; Ray begins one again whose process has died, and it goes on from checkpoints."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and wait for all; of one that died, the reason is in its `return_value`.

        Raises:
            KeyboardInterrupt: after the jobs were cancelled, which its message says.
        """
        import ray  # not at the top, so that Hydra finds its plugins fast
        from hydra_plugins.hydra_ray_launcher._launcher_util import launch_job_on_ray, start_ray

        setup_globals()
        start_ray(self.ray_cfg.init)
        tasks = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            config.hydra.job.id, config.hydra.job.num = f"job_{number}", number
            remote, function, state = self.ray_cfg.remote, self.task_function, Singleton.get_state()
            tasks.append(launch_job_on_ray(self.hydra_context, remote, config, function, state))
        try:
            return [_result(ray, task) for task in tasks]
        except KeyboardInterrupt as interrupt:
            for task in tasks:
                ray.cancel(task)
            interrupt.args = ("Ray's tasks are cancelled",)
            raise


def _result(ray: Any, task: Any) -> JobReturn:
    try:
        return ray.get(task)
    except ray.exceptions.RayError as error:
        return JobReturn(status=JobStatus.FAILED, _return_value=error)
