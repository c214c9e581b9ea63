"""From a composed config to what its job asks for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from mmoe_repro.errors import UsageError
from mmoe_repro.settings.cell import Cell, Law, Option
from mmoe_repro.settings.claims import read_claims
from mmoe_repro.settings.job import Job
from mmoe_repro.settings.own_code import own_targets, watching
from mmoe_repro.settings.ranges import TUNING_SEED, check_keys, check_loose_types, check_option, check_ranges
from mmoe_repro.settings.schema import folder, register
from mmoe_repro.settings.training import Training


def read_cell(config: DictConfig, choices: Mapping[str, str]) -> Cell:
    """The cell of a composed config; of `model.weights` the widths that it leads to.

    Args:
        config: the job's settings.
        choices: the chosen option of each group.

    Raises:
        UsageError: no widths lead to `model.weights`.
    """
    model, data = (_container(config[group]) for group in ("model", "data"))
    fitted_to = None
    sources = {}
    with watching():  # from when own code is first imported
        if isinstance(model, dict):
            weights, gives_way = model.pop("weights", None), model.pop("gives_way", [])
            if weights is not None:
                from mmoe_repro.models.budget import fit_widths  # brings PyTorch, which `--cfg` and `--help` do without

                model = fit_widths(model, weights, gives_way)
        if isinstance(data, dict):
            fitted_to = data.pop("fitted_to", None)
        if own_targets([model, data]):
            from mmoe_repro.jobs.rehearsal import sources_of

            sources = sources_of(model, data)
    training = OmegaConf.to_object(config.training)
    assert isinstance(training, Training)
    return Cell(
        model=Option(choices["model"], model),
        data=Law(choices["data"], data, fitted_to),
        training=training,
        data_seed=config.data_seed,
        init_seed=config.init_seed,
        crossed=config.crossed,
        sources=sources,
    )


def compose_cell(*overrides: str) -> Cell:
    """The cell of a sweep's job with these overrides, composed outside of any command; of built-in options alone."""
    register()
    with initialize_config_dir(str(folder()), version_base="1.3"):
        config = compose("sweep", list(overrides), return_hydra_config=True)
    return read_cell(config, config.hydra.runtime.choices)


def _container(node: Any) -> Any:
    """A part of a config as plain dictionaries and lists."""
    if not OmegaConf.is_config(node):
        return node
    return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)


def read_job(config: DictConfig, choices: Mapping[str, str], results: Path, overrides: Sequence[str]) -> Job:
    """Check a composed config and read what its job asks for.

    Args:
        config: the job's settings.
        choices: the chosen option of each group.
        results: the sweep's folder.
        overrides: the job's overrides, `key=value` each.

    Raises:
        UsageError: a value is out of range.
    """
    for group in ("model", "data"):
        check_option(group, choices.get(group))
        if not (isinstance(config[group], DictConfig) and "_target_" in config[group]):
            raise UsageError(f"{group}={choices[group]}: needs a _target_, the dotted name of a class")
    by_key = dict(item.lstrip("+").split("=", 1) for item in overrides if "=" in item)
    check_keys(config)
    check_loose_types(config, by_key)
    check_ranges(config)
    return Job(
        cell=read_cell(config, choices),
        seeds=range(config.seed, config.seed + config.runs),
        tuning_seeds=range(TUNING_SEED, TUNING_SEED + config.tuning_runs),
        results=results,
        workers=config.workers,
        overrides=by_key,
        claims=read_claims(config),
        paper_loss=config.paper_loss,
        report_rates=config.report_rates,
        train=config.train,
        runs_per_job=config.runs_per_job,
    )
