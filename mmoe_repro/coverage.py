"""How often the 95 % intervals hold the true value: measured by `scripts/coverage.py`, told beside what falls short."""

from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd

#: An interval that holds the true value less often than this is marked.
ENOUGH = 0.92


@cache
def _measured() -> pd.DataFrame:
    with (files("mmoe_repro") / "coverage.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)


def least(kind: str, runs: int) -> float:
    """Coverage of an interval in the worst of the distributions that it was measured on.

    Args:
        kind: of the interval, as in the table.
        runs: of each sample; the largest measured size up to it counts, or the smallest.

    Returns:
        a share; NaN if intervals of this kind were not measured.
    """
    mine = _measured()[_measured()["interval"] == kind]
    if mine.empty:
        return np.nan
    sizes = mine["runs"].unique()
    size = max((size for size in sizes if size <= runs), default=min(sizes))
    return float(mine.loc[mine["runs"] == size, "coverage"].min())
