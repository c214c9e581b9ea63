"""Hydra's and OmegaConf's errors, told in one line with the nearest match."""

import re
from collections.abc import Iterator

from hydra.errors import MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from mmoe_repro.errors import nearest

_GROUPS = ("data", "experiment", "model", "training")


def explain(error: BaseException) -> str:
    """Say what was wrong, what is allowed and what may have been meant."""
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, YAMLError):
            return " ".join(str(link).split())
        if isinstance(link, OSError) and not isinstance(link, MissingConfigException):
            return f"cannot write to {link.filename}: {link.strerror}"
    for link in chain:
        if isinstance(link, MissingConfigException) and link.missing_cfg_file:
            group, _, option = str(link.missing_cfg_file).rpartition("/")
            known = link.options or []
            return f"{group or 'config'}={option}: {nearest(option, known)}"
    for link in chain:
        if isinstance(link, ConfigKeyError | ConfigAttributeError) and link.full_key:
            parent = link.parent_node
            keys = [str(key) for key in parent] if isinstance(parent, DictConfig) else []
            prefix = link.full_key.rpartition(".")[0]
            return f"{link.full_key}: no such setting{f' in {prefix}' if prefix else ''}; {_near_key(link, keys)}"
    for link in chain:
        if isinstance(link, OmegaConfBaseException) and link.full_key:
            told = _first_line(link)
            brackets = f"must be a list: {link.full_key}=[...]"
            return f"{link.full_key}: {brackets if 'is not a ListConfig' in told else told}"
    text = _first_line(error)
    unknown = re.match(r"Could not override '(\w+)'", text)
    return f"{unknown[1]}: {nearest(unknown[1], _GROUPS)}" if unknown else text


def _near_key(error: OmegaConfBaseException, keys: list[str]) -> str:
    return nearest(str(error.key), [key for key in keys if key not in ("hydra", "_target_")])


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
