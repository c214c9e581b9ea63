"""Checks that need more than a type."""

import math
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from mmoe_repro.errors import UsageError, nearest
from mmoe_repro.settings.schema import SweepConfig
from mmoe_repro.settings.training import Adam, Training

#: Seeds from here on are for choosing a learning rate; reported runs stay below.
TUNING_SEED = 1_000_000


def check(key: str, value: Any, holds: bool, allowed: str) -> None:
    """Refuse a value out of range.

    Raises:
        UsageError: it does not hold.
    """
    if not holds:
        raise UsageError(f"{key}={value}: must be {allowed}")


def check_name(name: str) -> None:
    """Refuse a name that would leave the folder of results."""
    check("name", name, bool(re.fullmatch(r"\w[\w.-]*", name)), "a plain folder name")


def check_option(group: str, chosen: Any) -> None:
    """Refuse what is no name of a group's option, such as null or a list."""
    if not (isinstance(chosen, str) and chosen):
        raise UsageError(f"{group}: must be the name of an option")


def check_keys(config: DictConfig) -> None:
    """Refuse keys that `+` added and nothing reads."""
    for prefix, node, schema in (
        ("", config, SweepConfig),
        ("training.", config.training, Training),
        ("training.optimizer.", config.training.optimizer, Adam),
    ):
        allowed = [known.name for known in fields(schema)]
        for key in map(str, node):
            if key not in allowed and key != "hydra":
                raise UsageError(f"{prefix}{key}: no such setting; {nearest(key, allowed)}")


def check_loose_types(config: DictConfig, overrides: Mapping[str, str]) -> None:
    """Refuse what OmegaConf takes and no setting means: numbers for true or false, lists in a built-in list.

    Raises:
        UsageError: with the first of them.
    """
    for key, value in overrides.items():
        meant = OmegaConf.select(config, key)
        if isinstance(meant, bool):
            check(key, value, not value.lstrip("-").isdigit() or value in ("0", "1"), "true or false")
        elif isinstance(meant, ListConfig) and OmegaConf.get_type(config[key.partition(".")[0]]) is not dict:
            check(key, value, not any(map(OmegaConf.is_config, meant)), "a list of single values")


def check_ranges(config: DictConfig) -> None:
    """Refuse settings of a sweep that are out of range, besides those of its groups `data` and `model`.

    Raises:
        UsageError: with the first of them.
    """
    training, optimizer = config.training, config.training.optimizer
    check("runs", config.runs, config.runs >= 1, "at least 1")
    check("tuning_runs", config.tuning_runs, config.tuning_runs >= 0, "zero or more")
    rates = config.report_rates
    check("report_rates", rates, rates in ("all", "chosen"), "all or chosen")
    tuned = rates == "all" or config.tuning_runs >= 1
    check("tuning_runs", config.tuning_runs, tuned, "at least 1 with report_rates=chosen")
    in_range = config.seed >= 0 and config.seed + config.runs <= TUNING_SEED
    check(
        "seed",
        config.seed,
        in_range,
        f"at least 0, seed + runs at most {TUNING_SEED:,} (tuning starts there)",
    )
    for key in ("data_seed", "init_seed"):
        check(key, config[key], config[key] is None or config[key] >= 0, "at least 0, or null")
    crossed = config.crossed
    free = config.data_seed is None and config.init_seed is None
    check("crossed", crossed, crossed is None or (crossed >= 2 and free), "at least 2 without other seeds, or null")
    for key in ("workers", "runs_per_job"):
        check(key, config[key], config[key] is None or config[key] >= 1, "at least 1, or null")
    paper_loss = config.paper_loss
    check("paper_loss", paper_loss, 0 < paper_loss < math.inf, "a positive number")
    check_name(config.name)
    check("training.steps", training.steps, training.steps >= 1, "at least 1")
    check("training.batch_size", training.batch_size, training.batch_size >= 1, "at least 1")
    rate = training.learning_rate
    check("training.learning_rate", rate, 0 < rate < math.inf, "a positive number")
    divides = training.window >= 1 and training.steps % training.window == 0
    check("training.window", training.window, divides, f"a divisor of training.steps={training.steps}")
    check("training.warmup", training.warmup, training.warmup >= 0, "zero or more")
    device = training.device
    check("training.device", device, device in ("auto", "cpu", "cuda"), "auto, cpu or cuda")
    betas = list(optimizer.betas)
    check("training.optimizer.betas", betas, len(betas) == 2 and all(0 <= b < 1 for b in betas), "two in [0, 1)")
    check("training.optimizer.eps", optimizer.eps, 0 <= optimizer.eps < math.inf, "zero or positive")
    decay = optimizer.weight_decay
    check("training.optimizer.weight_decay", decay, 0 <= decay < math.inf, "zero or positive")
