"""Tower units that are 0 on every example, and what they have to do with runs that end badly."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmoe_repro.findings.statistics import dip_p
from mmoe_repro.runs.results import SweptCell


def with_live_units(cells: Sequence[SweptCell], runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with `live_units`, how many units of a run's tower are alive; NaN for a model without towers.

    Args:
        cells: of the sweep.
        runs: `runs.parquet`.
    """
    towers = {cell.identity: cell.model.settings.get("tower") or np.nan for cell in cells}
    widths = {cell: tower[-1] if isinstance(tower, Sequence) else tower for cell, tower in towers.items()}
    live = (1 - runs["dead_units"]) * runs["cell"].map(widths).astype(float)
    return runs.assign(live_units=live.round())


def dead_units_table(cells: Sequence[SweptCell], runs: pd.DataFrame) -> pd.DataFrame:
    """Stuck runs and live units of each cell, a row each.

    Args:
        cells: of the sweep.
        runs: task 1's, without diverged ones, with `live_units`.

    Returns:
        cell, runs, stuck (share), live_units (mean), none and one (shares of runs with that many live units),
        explained (share of the losses' variance between numbers of live units), one_mode_p (of Hartigan's dip test).
    """
    rows = []
    for cell in cells:
        mine = runs[runs["cell"] == cell.identity]
        losses, live = mine["final_loss"], mine["live_units"]
        row = {"cell": cell.identity, "runs": len(mine), "stuck": mine["stuck"].mean() if len(mine) else np.nan}
        row |= dict.fromkeys(("live_units", "none", "one", "explained"), np.nan)
        if len(live) > 1 and bool(live.notna().all()) and losses.var(ddof=0) > 0:
            between = mine.groupby("live_units")["final_loss"].transform("mean").var(ddof=0)
            row.update(live_units=live.mean(), none=(live == 0).mean(), one=(live == 1).mean())
            row["explained"] = between / losses.var(ddof=0)
        rows.append({**row, "one_mode_p": dip_p(losses.to_numpy(float))})
    return pd.DataFrame(rows)
