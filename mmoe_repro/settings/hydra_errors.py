"""Hydra's and OmegaConf's errors in one line with the nearest match."""

import re
from collections.abc import Iterator, Sequence

from hydra.errors import MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from mmoe_repro.errors import nearest, told
from mmoe_repro.settings.schema import model_settings

#: What OmegaConf calls types, in words.
_TYPES = {"Float": "a number", "Integer": "a whole number", "bool": "true or false"}
#: Launchers that come with an extra.
_EXTRAS = {"hydra/launcher/mmoe_slurm": "slurm", "hydra/launcher/mmoe_ray": "ray"}


def explain(error: BaseException) -> str:
    """Say what was wrong, what is allowed and what may have been meant."""
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, YAMLError):
            return " ".join(str(link).split())
        if isinstance(link, OSError) and not isinstance(link, MissingConfigException):
            return told(link)
    for link in chain:
        if isinstance(link, MissingConfigException) and link.missing_cfg_file:
            group, _, option = str(link.missing_cfg_file).rpartition("/")
            known = link.options or []
            if str(link.missing_cfg_file) in _EXTRAS:
                extra = _EXTRAS[str(link.missing_cfg_file)]
                return f"cluster={extra}: needs its packages: pip install 'mmoe-repro[{extra}]'"
            return f"{group or 'config'}={option}: {nearest(option, known)}"
    for link in chain:
        if isinstance(link, ConfigKeyError | ConfigAttributeError) and link.full_key:
            parent = link.parent_node
            keys = [str(key) for key in parent] if isinstance(parent, DictConfig) else []
            prefix = link.full_key.rpartition(".")[0]
            return f"{link.full_key}: no such setting{f' in {prefix}' if prefix else ''}; {_near_key(link, keys)}"
    for link in chain:
        if isinstance(link, OmegaConfBaseException) and link.full_key:
            line = _first_line(link)
            if "is not a ListConfig" in line:
                return f"{link.full_key}: must be a list: {link.full_key}=[...]"
            wrong = re.match(r"Value '(.*)' (?:of type '\w+' could not be converted to|is not a valid) (\w+)", line)
            if wrong and wrong[2] in _TYPES:
                return f"{link.full_key}={wrong[1]}: must be {_TYPES[wrong[2]]}"
            return f"{link.full_key}: {line}"
    text = _first_line(error)
    if unknown := re.match(r"Could not override '(\w+)'", text):
        return f"{unknown[1]}: this command has no such setting; its --help shows what there is"
    if several := re.match("Ambiguous value for argument '(.*)'$", text):
        return f"{several[1]}: this command takes one value; comma lists are for mmoe-repro sweep"
    return text


def lacking_setting(job: Sequence[str], jobs: Sequence[Sequence[str]]) -> str | None:
    """Say which of the swept models have a setting that this job's model lacks.

    Args:
        job: the overrides of a job that cannot be composed, `key=value` each.
        jobs: those of all jobs.

    Returns:
        None if that is not what is wrong with it.
    """
    models = list(
        dict.fromkeys(one.removeprefix("model=") for given in jobs for one in given if one.startswith("model="))
    )
    mine = next((one.removeprefix("model=") for one in job if one.startswith("model=")), None)
    keys = [one.partition("=")[0].removeprefix("model.") for one in job if one.startswith("model.")]
    for key in keys:
        name = key.partition(".")[0]
        having = [model for model in models if name in model_settings(model)]
        if mine in models and having and mine not in having:
            return f"model.{key}: {mine} has no such setting; try model={','.join(having)}"
    return None


def _near_key(error: OmegaConfBaseException, keys: list[str]) -> str:
    return nearest(str(error.key), [key for key in keys if key not in ("hydra", "_target_")])


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
