"""Hydra's basic sweeper, which first composes and checks every job, so that nothing trains if one is wrong.

Hydra takes sweepers from the `hydra_plugins` namespace only; `mmoe_repro.sweep` is where the work is.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser


@dataclass
class CheckedSweeperConf(BasicSweeperConf):
    """Settings as of the basic sweeper."""

    _target_: str = "hydra_plugins.mmoe_repro_sweeper.CheckedSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="checked", node=CheckedSweeperConf, provider="mmoe_repro")


class CheckedSweeper(BasicSweeper):
    """The product of all comma lists, checked as a whole before the first job starts."""

    def sweep(self, arguments: list[str]) -> Any:
        """Compose and check all jobs, then launch them."""
        from mmoe_repro.sweep import plan

        context, config, launcher = self.hydra_context, self.config, self.launcher
        assert context is not None and config is not None and launcher is not None
        parser = OverridesParser.create(config_loader=context.config_loader)
        given = parser.parse_overrides(arguments)
        named = {override.key_or_group for override in given}
        defaults = [f"{key}={value}" for key, value in self.params.items() if key not in named]
        (jobs,) = self.split_arguments(parser.parse_overrides(defaults) + given, None)
        plan(jobs, lambda overrides: context.config_loader.load_sweep_config(config, list(overrides)))
        Path(config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        return launcher.launch(jobs, initial_job_idx=0)
