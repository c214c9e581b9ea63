"""How often intervals hold the true value: measured by `scripts/coverage.py`, shown beside those that fall short."""

from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd

#: A 95 % interval that holds the true value less often than this is marked.
ENOUGH = 0.92
#: How many times as often as they should intervals may miss: those of 95 % in 8 % of trials, of 98.75 % in 2 %.
_MISSES = (1 - ENOUGH) / 0.05


@cache
def _measured() -> pd.DataFrame:
    with (files("mmoe_repro.findings") / "interval_coverage.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)


def least(kind: str, runs: int) -> float:
    """Coverage of an interval in the worst of the distributions that it was measured on.

    Args:
        kind: of the interval, as in the table; a kind that was measured at several levels counts at the surest, the
            one at which it decides.
        runs: of each sample; the largest measured size up to it counts, or the smallest.

    Returns:
        a share; NaN if intervals of this kind were not measured.
    """
    mine = _of(kind)
    if mine.empty:
        return np.nan
    sizes = mine["runs"].unique()
    size = max((size for size in sizes if size <= runs), default=min(sizes))
    return float(mine.loc[mine["runs"] == size, "coverage"].min())


def enough(kind: str) -> float:
    """Coverage below which an interval of this kind falls short: `ENOUGH` of 95 % intervals, 0.98 of 98.75 % ones."""
    mine = _of(kind)
    return ENOUGH if mine.empty else round(1 - _MISSES * (1 - float(mine["confidence"].iloc[0])), 9)


def _of(kind: str) -> pd.DataFrame:
    table = _measured()
    mine: pd.DataFrame = table[table["interval"] == kind]
    surest: pd.DataFrame = mine[mine["confidence"] == mine["confidence"].max()]
    return surest
