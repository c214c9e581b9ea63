"""By what the paper's claims are judged: the `claims` group."""

import math
from collections.abc import Mapping
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from mmoe_repro.errors import UsageError, nearest
from mmoe_repro.settings.ranges import check
from mmoe_repro.settings.schema import folder

#: What a bound has to be, by its name: the range in which it lies, ends excluded, and that range in words.
_RANGES = {
    "ratio": (0.0, math.inf, "a positive number"),
    "factor": (1.0, math.inf, "a number above 1"),
    "margin": (0.0, math.inf, "a positive number"),
    "excess": (-1.0, 1.0, "a number between -1 and 1"),
    "quantile": (0.0, 1.0, "a number between 0 and 1"),
}


def read_claims(config: DictConfig) -> dict[str, Any]:
    """Read by what the claims are judged.

    Raises:
        UsageError: a bound is out of range, or there are other claims or bounds than the program judges.
    """
    claims: Any = OmegaConf.to_container(config.claims, resolve=True, throw_on_missing=True)
    known = yaml.safe_load((folder() / "claims/paper.yaml").read_text(encoding="utf-8"))
    _check_keys("claims", claims, known)
    _check("claims.level", claims["level"], 0.0, 1.0, "between 0 and 1")
    _check("claims.bad", claims["bad"], 0.0, math.inf, "a positive number")
    for name, claim in claims.items():
        if isinstance(known[name], dict):
            _check_keys(f"claims.{name}", claim, known[name])
            for key, value in claim.items():
                if key in _RANGES:
                    _check(f"claims.{name}.{key}", value, *_RANGES[key])
                else:
                    check(f"claims.{name}.{key}", value, isinstance(value, str), "text")
    return dict(claims)


def _check_keys(key: str, settings: Any, known: Mapping[str, Any]) -> None:
    check(key, settings, isinstance(settings, dict), f"settings: {', '.join(known)}")
    for name in settings:
        if name not in known:
            raise UsageError(f"{key}.{name}: no such setting; {nearest(str(name), known)}")
    for name in known:
        if name not in settings:
            raise UsageError(f"{key}.{name}: is missing")


def _check(key: str, value: Any, above: float, below: float, allowed: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    check(key, value, number and above < value < below, allowed)
