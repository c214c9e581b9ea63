"""Two sweeps beside each other: in which settings they differ, and by how much their losses do."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from mmoe_repro.runs.results import Swept, SweptCell
from mmoe_repro.settings.cell import flat

_RESAMPLES = 9_999


def settings_that_differ(one: Swept, other: Swept) -> pd.DataFrame:
    """Settings that not all cells of both sweeps share, correlation and seeds aside.

    Returns:
        columns setting, one, other: what each sweep's cells have, a comma list if there is more than one value.
    """
    values = [_settings(swept.cells) for swept in (one, other)]
    rows = []
    for key in dict.fromkeys([*values[0], *values[1]]):
        mine, theirs = (_listed(of_sweep.get(key, [])) for of_sweep in values)
        if mine != theirs:
            rows.append({"setting": key, "one": mine, "other": theirs})
    return pd.DataFrame(rows, columns=["setting", "one", "other"])


def _settings(cells: Sequence[SweptCell]) -> dict[str, list[Any]]:
    """Values of each setting over the cells; settings of a model by its name, since models do not share them."""
    found: dict[str, list[Any]] = {}
    for cell in cells:
        record = cell.record()["settings"]
        named = {
            **flat(record["model"], f"{cell.model.name}."),
            **flat(record["data"], "data."),
            **flat(record["training"], "training."),
            **{key: record.get(key) for key in ("data_seed", "init_seed", "crossed")},
        }
        for key, value in named.items():
            if key != "data.correlation" and value not in found.setdefault(key, []):
                found[key].append(value)
    return found


def _listed(values: Sequence[Any]) -> str:
    return ", ".join("null" if value is None else str(value) for value in values) or "–"


def losses_compared(one: Swept, other: Swept) -> pd.DataFrame:
    """Mean final losses of task 1 where both sweeps have a cell of a model and correlation, and how they differ.

    Runs of the same seed are paired. The interval of the ratio is bias-corrected and accelerated (Efron 1987). Where a
    sweep has several cells of a model and correlation, each is compared with each.

    Returns:
        columns model, correlation, one, other (means), ratio (other divided by one), low, high (95 %), pairs (runs of
        both with the same seed; 0 where none are, and the samples are independent).
    """
    rows = []
    for cell in one.cells:
        for its in other.cells:
            if (cell.model.name, cell.data.correlation) == (its.model.name, its.data.correlation):
                mine, theirs = _losses(one, cell), _losses(other, its)
                if len(mine) and len(theirs):
                    apart = {**_told_apart(one, cell), **_told_apart(other, its)}
                    keys = {"model": cell.model.name, "correlation": cell.data.correlation, **apart}
                    rows.append({**keys, **_compared(mine, theirs)})
    return pd.DataFrame(rows)


def _told_apart(swept: Swept, cell: SweptCell) -> dict[str, Any]:
    """What sets a cell apart from the others of its sweep with the same model and correlation."""
    keys = {key: value for key, value in cell.keys.items() if key not in ("cell", "model", "correlation")}
    return {key: value for key, value in keys.items() if len({str(one.keys[key]) for one in swept.cells}) > 1}


def _losses(swept: Swept, cell: SweptCell) -> pd.Series:
    runs = swept.runs
    mine = runs[(runs["cell"] == cell.identity) & (runs["task"] == 1) & ~runs["diverged"]]
    return mine.set_index("seed")["final_loss"]


def _compared(one: pd.Series, other: pd.Series) -> dict[str, float]:
    together = pd.concat([one, other], axis=1, join="inner").to_numpy(float)
    paired = len(together) >= 3 and len(together) == min(len(one), len(other))
    samples = tuple(together.T) if paired else (one.to_numpy(float), other.to_numpy(float))

    def ratio(first: np.ndarray, second: np.ndarray, axis: int) -> Any:
        return np.mean(second, axis=axis) / np.mean(first, axis=axis)

    value, low, high = float(samples[1].mean() / samples[0].mean()), np.nan, np.nan
    if min(map(len, samples)) >= 3 and not np.array_equal(samples[0], samples[1]) and any(map(np.ptp, samples)):
        interval = stats.bootstrap(
            samples, ratio, paired=paired, n_resamples=_RESAMPLES, method="BCa", rng=np.random.default_rng(0)
        ).confidence_interval
        low, high = float(interval.low), float(interval.high)
    elif np.array_equal(samples[0], samples[1]):
        low, high = 1.0, 1.0  # the same runs
    means = {"one": float(samples[0].mean()), "other": float(samples[1].mean())}
    return {**means, "ratio": value, "low": low, "high": high, "pairs": len(together) if paired else 0}
