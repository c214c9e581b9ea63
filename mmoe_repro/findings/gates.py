"""How a sweep's gates share the experts between the tasks."""

from collections.abc import Sequence

import pandas as pd

from mmoe_repro.findings.statistics import bootstrap
from mmoe_repro.runs.results import SweptCell

#: Columns of `runs.parquet` that describe the gates.
MEASURES = ("gate_divergence", "experts_used", "gate_entropy")


def gates_summary(cells: Sequence[SweptCell], runs: pd.DataFrame, gates: pd.DataFrame) -> pd.DataFrame:
    """How the gates of each cell with gates weigh the experts, a row each.

    Args:
        cells: of the sweep.
        runs: task 1's, without diverged ones.
        gates: `gates.parquet`; may have no rows.

    Returns:
        cell; of each of `MEASURES` its mean with the ends of its 95 % interval, `<measure>`, `<measure>_low` and
        `<measure>_high`; ranked, the mean weights of task 1's experts, most used first (a list).
    """
    rows = []
    for cell in cells:
        weights = gates[(gates["cell"] == cell.identity) & (gates["task"] == 1)] if len(gates) else gates
        if weights.empty:
            continue
        mine = runs[runs["cell"] == cell.identity]
        row: dict[str, object] = {"cell": cell.identity}
        for measure in MEASURES:
            found = bootstrap(mine[measure].to_numpy(float))
            row.update(zip((measure, f"{measure}_low", f"{measure}_high"), found, strict=True))
        rank = weights.groupby("seed")["weight"].rank(method="first", ascending=False)
        row["ranked"] = weights["weight"].groupby(rank).mean().tolist()
        rows.append(row)
    return pd.DataFrame(rows)
