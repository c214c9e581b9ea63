"""`model.weights=13056`: the widths with which a model has a number of weights."""

import json
from functools import cache
from typing import Any

from mmoe_repro.data.seeds import seeded
from mmoe_repro.errors import UsageError
from mmoe_repro.models import count_weights
from mmoe_repro.settings.hydra_targets import make

#: How far, relatively, a model may be from its budget.
TOLERANCE = 0.02
_WIDEST = 1 << 20


def fit_widths(settings: dict[str, Any], weights: int, gives_way: list[str]) -> dict[str, Any]:
    """Size a model to a number of weights, counted as the paper counts (biases, gates and output layers aside).

    The first width becomes the one that comes nearest. Where that is more than 2 % off, the first is left just too
    small and the second makes up for it. A list of widths keeps its proportions.

    Args:
        settings: of the model, with which it can be made.
        weights: the budget.
        gives_way: names of the first width and, if there is one, of the second.

    Returns:
        the settings with these widths.

    Raises:
        UsageError: no widths come within 2 %, or there is no such width.
    """
    asked = f"model.weights={weights}: {settings.get('_target_')}"
    if weights < 1:
        raise UsageError(f"model.weights={weights}: must be at least 1, or null")
    if not gives_way:
        raise UsageError(f"{asked} does not name the width that gives way (gives_way: [...])")
    tried: list[dict[str, Any]] = []
    for name in gives_way:
        if name not in settings:
            raise UsageError(f"{asked} has no width '{name}' to give way")
        below, above = _around(settings, name, weights)
        tried += [below, above]
        nearest = min(tried, key=lambda one: abs(_count(one) - weights))
        if abs(_count(nearest) - weights) <= TOLERANCE * weights:
            return nearest
        settings = below
    widths = ", ".join(f"{name}={nearest[name]}" for name in gives_way)
    raise UsageError(f"{asked} cannot have as many within {TOLERANCE:.0%}; nearest: {_count(nearest):,} at {widths}")


def _around(settings: dict[str, Any], name: str, weights: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings at the widest width that does not exceed the budget (or the narrowest of all), and at the next."""
    low, high = 1, 2
    while _count(_widened(settings, name, high)) <= weights:
        low, high = high, 2 * high
        if high > _WIDEST:
            raise UsageError(f"model.weights={weights}: model.{name} does not change how many weights there are")
    while high - low > 1:
        middle = (low + high) // 2
        if _count(_widened(settings, name, middle)) <= weights:
            low = middle
        else:
            high = middle
    return _widened(settings, name, low), _widened(settings, name, high)


def _widened(settings: dict[str, Any], name: str, width: int) -> dict[str, Any]:
    value = settings[name]
    if isinstance(value, list):
        return {**settings, name: [max(1, round(one * width / value[0])) for one in value]}
    return {**settings, name: width}


def _count(settings: dict[str, Any]) -> int:
    return _count_text(json.dumps(settings))


@cache
def _count_text(settings: str) -> int:
    made = json.loads(settings)
    with seeded(0, "init"):
        return count_weights(make("model", made.get("_target_"), made))
