"""Hydra's sweeper that composes and checks every job first, so that nothing trains if one is wrong.

The work is shared out by what is missing: a launcher gets jobs that each train some of the missing chunks.

Hydra takes sweepers from the `hydra_plugins` namespace only; `mmoe_repro.commands.sweep` is where the work is.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from mmoe_repro.errors import UsageError


@dataclass
class CheckedSweeperConf(BasicSweeperConf):
    """Settings as of the basic sweeper.

    Attributes:
        dry_run: say what would be done, and do nothing.
        units: what one job is to train, which only the sweeper itself sets.
    """

    _target_: str = "hydra_plugins.mmoe_repro_sweeper.CheckedSweeper"
    dry_run: bool = False
    units: list[str] = field(default_factory=list)


#: A sweep has so many jobs at most, since each is composed and checked before the first starts.
_MOST_JOBS = 10_000


ConfigStore.instance().store(group="hydra/sweeper", name="checked", node=CheckedSweeperConf, provider="mmoe_repro")


class CheckedSweeper(BasicSweeper):
    """The product of all comma lists, checked as a whole before the first job starts."""

    def __init__(self, dry_run: bool, units: list[str], **settings: Any) -> None:
        super().__init__(**settings)
        self._dry_run = dry_run

    def sweep(self, arguments: list[str]) -> Any:
        """Compose and check all jobs, say what they come to, then train what they lack: here, or by a launcher."""
        from mmoe_repro.commands.sweep import announce, plan, work

        context, config, launcher = self.hydra_context, self.config, self.launcher
        assert context is not None and config is not None and launcher is not None
        parser = OverridesParser.create(config_loader=context.config_loader)
        given = parser.parse_overrides(arguments)
        named = {override.key_or_group for override in given}
        defaults = [f"{key}={value}" for key, value in self.params.items() if key not in named]
        asked = parser.parse_overrides(defaults) + given
        _check_number(asked)
        (jobs,) = self.split_arguments(asked, None)
        jobs = [list(job) for job in dict.fromkeys(map(tuple, jobs))]
        assert isinstance(context.config_loader, ConfigLoaderImpl)
        plan(jobs, Composer(context.config_loader, config))
        here = isinstance(launcher, BasicLauncher)
        announce(grid=self._dry_run, here=here)
        if self._dry_run:
            return None
        Path(config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        work(None if here else lambda overrides: launcher.launch(overrides, initial_job_idx=0))


class Composer:
    """Composes jobs as Hydra does; those with the same options share that work, and differ by the values set in a copy.

    Args:
        loader: of the configs.
        master: the sweep's own config.
    """

    def __init__(self, loader: ConfigLoaderImpl, master: DictConfig) -> None:
        self._loader, self._master = loader, master
        self._parser = OverridesParser.create(config_loader=loader)
        self._by_options: dict[tuple[str, ...], DictConfig] = {}

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """The config of a job with these overrides."""
        parsed = self._parser.parse_overrides(list(overrides))
        options = tuple(str(one.input_line) for one in parsed if self._is_option(one))
        if options not in self._by_options:
            self._by_options[options] = self._loader.load_sweep_config(self._master, list(options))
        config = deepcopy(self._by_options[options])
        self._loader._apply_overrides_to_config([one for one in parsed if not self._is_option(one)], config)
        return config

    def _is_option(self, override: Override) -> bool:
        return self._loader.repository.group_exists(override.key_or_group) and not isinstance(override.value(), dict)


def _check_number(overrides: list[Override]) -> None:
    """Refuse more jobs than can be checked in a reasonable time.

    Raises:
        UsageError: with the list that has most of them.
    """
    counts = {
        one.key_or_group: sum(1 for _ in islice(one.sweep_iterator(), _MOST_JOBS + 1))
        for one in overrides
        if one.is_discrete_sweep()
    }
    if prod(counts.values()) > _MOST_JOBS:
        most = max(counts, key=counts.__getitem__)
        fix = "runs=… trains as many seeds of one job" if most == "seed" else "sweep over fewer values"
        raise UsageError(f"{most}: the sweep would have more than {_MOST_JOBS:,} jobs; {fix}")
