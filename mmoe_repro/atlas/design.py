"""The atlas's settings: a designed sample of everything that the paper leaves open.

A scrambled Sobol sequence (Owen 1998) fills the cube of all choices evenly, and each of its beginnings does, too. So a
longer atlas goes on where a shorter one ended.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import nan
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import qmc

from mmoe_repro.errors import UsageError
from mmoe_repro.findings.claim_comparisons import MODELS, Key
from mmoe_repro.findings.paper_runs import SMALL
from mmoe_repro.jobs.from_config import compose_cell
from mmoe_repro.settings.cell import Cell

#: Task correlations that every setting is trained at; at others the paper has no runs to compare with.
CORRELATIONS = (0.5, 1.0)
#: Of the Sobol sequence's scrambling.
_SEED = 0
#: What a setting decides beside the cells' own keys, and the groups of these.
_PAPER_LOSS, _GROUPS = "paper_loss", ("model", "data", "training")
#: A model's cell by a sweep's defaults, to which the choices are applied.
_base = cache(compose_cell)


@dataclass(frozen=True)
class Choice:
    """One thing that the paper leaves open, with its prior.

    Attributes:
        name: for tables and figures.
        values: what may be chosen, by name; each is the settings that it stands for. None for a range.
        shares: prior probability of each value.
        key: of a range, such as `model.gain`.
        low, high: ends of a range.
        log: whether a range is uniform in the logarithm.
    """

    name: str
    values: Mapping[str, Mapping[str, Any]] | None = None
    shares: tuple[float, ...] = ()
    key: str = ""
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    @property
    def is_open(self) -> bool:
        """Whether there is more than one thing to choose."""
        return self.values is None or len(self.values) > 1

    def at(self, quantile: float) -> float | str:
        """The value at a quantile of the prior, in [0, 1): a number of a range, or a value's name."""
        if self.values is None:
            low, high = (np.log(self.low), np.log(self.high)) if self.log else (self.low, self.high)
            value = low + quantile * (high - low)
            return float(np.exp(value) if self.log else value)
        ends = np.cumsum(self.shares)
        return list(self.values)[min(int(np.searchsorted(ends, quantile, "right")), len(ends) - 1)]

    def settings(self, value: float | str) -> Mapping[str, Any]:
        """What a value stands for, by key."""
        return {self.key: value} if self.values is None else self.values[str(value)]


def read_choices(settings: Mapping[str, Mapping[str, Any]]) -> list[Choice]:
    """The choices of `conf/atlas.yaml`.

    Raises:
        UsageError: one of them is not a list of values or a range.
    """
    return [_read(name, given) for name, given in settings.items()]


def _read(name: str, given: Mapping[str, Any]) -> Choice:
    label = f"choices.{name}"
    values, key = given.get("values"), given.get("key", "")
    if values is None:
        low, high = (
            float(end) if isinstance(end := given.get(which), int | float) else nan for which in ("low", "high")
        )
        log = bool(given.get("log", False))
        if not (key and low < high and (low > 0 or not log)):
            raise UsageError(f"{label}: must have `values`, or a key with low < high; log takes low > 0")
        return Choice(name, key=key, low=low, high=high, log=log)
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise UsageError(f"{label}.values={values}: must be a list")
    named: dict[str, Mapping[str, Any]] = {}
    for value in values:
        if isinstance(value, Mapping):
            named[str(value.get("name"))] = {part: of for part, of in value.items() if part != "name"}
        elif key:
            named["null" if value is None else str(value)] = {key: value}
        else:
            raise UsageError(f"{label}: {value} needs a key, as in `key: training.batch_size`")
    if len(named) != len(values):
        raise UsageError(f"{label}.values: each needs a name of its own")
    weights = np.asarray(given.get("weights") or [1.0] * len(named), float)
    if len(weights) != len(named) or not (weights > 0).all():
        raise UsageError(f"{label}.weights: must be positive, one for each value")
    return Choice(name, named, tuple(weights / weights.sum()), key=key)


def draw(choices: Sequence[Choice], count: int) -> pd.DataFrame:
    """The first settings of the design: a row each, a column for each choice that is open.

    Args:
        choices: what is chosen.
        count: of settings.
    """
    open_ = [choice for choice in choices if choice.is_open]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it fills the cube best at powers of two; any beginning will do
        cube = qmc.Sobol(max(1, len(open_)), scramble=True, rng=_SEED).random(count)
    columns = {choice.name: [choice.at(one) for one in cube[:, place]] for place, choice in enumerate(open_)}
    return pd.DataFrame(columns, index=pd.RangeIndex(count, name="setting"))


def chosen(choices: Sequence[Choice], row: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a row of the design, by key; numbers that two choices give the same key are multiplied."""
    found: dict[str, Any] = {}
    for choice in choices:
        value = row[choice.name] if choice.is_open else next(iter(choice.values or {}))
        for key, setting in choice.settings(value).items():
            found[key] = found[key] * setting if key in found else setting
    return found


def paper_loss(settings: Mapping[str, Any]) -> float:
    """How many squared errors a loss of the paper is.

    Raises:
        UsageError: no choice says so.
    """
    if _PAPER_LOSS not in settings:
        raise UsageError(f"choices: one of them has to say {_PAPER_LOSS}, as choices.loss does")
    return float(settings[_PAPER_LOSS])


def cells(settings: Mapping[str, Any]) -> dict[Key, Cell]:
    """The cells that the claims compare at a setting, Figure 3's network among them.

    Args:
        settings: of `chosen`.

    Raises:
        UsageError: a key that no cell has.
    """
    found = {}
    for model in (*MODELS, SMALL):
        cell = _base(f"model={'shared_bottom' if model == SMALL else model}")
        for key, value in settings.items():
            if key != _PAPER_LOSS:
                cell = _with(cell, key, value)
        steps, window = cell.training.steps, cell.training.window
        if steps < window:
            raise UsageError(f"choices: training.steps={steps}: must be at least a window, {window}")
        if model == SMALL:
            cell = _with(cell, "model.bottom", [16])
        for correlation in CORRELATIONS:
            found[model, correlation] = _with(cell, "data.correlation", correlation)
    return found


def _with(cell: Cell, key: str, value: Any) -> Cell:
    """The cell with another value of a setting."""
    group, _, name = key.partition(".")
    before: Mapping[str, Any] = {}
    if group in _GROUPS:
        before = vars(cell.training) if group == "training" else getattr(cell, group).settings
    if name not in before:
        raise UsageError(f"choices: {key} is no setting of {cell.model.name}")
    if isinstance(before[name], int) and not isinstance(before[name], bool) and isinstance(value, float):
        raise UsageError(f"choices: {key}={value}: must be a whole number; list its values")
    if group == "training":
        return replace(cell, training=replace(cell.training, **{name: value}))
    option = getattr(cell, group)
    return replace(cell, **{group: replace(option, settings={**option.settings, name: value})})
