"""The loss table: per cell and task, a summary of its runs' losses."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmoe_repro.findings.statistics import bootstrap, iqm, standard_deviation
from mmoe_repro.runs.results import SweptCell

#: Losses that the table summarises, with their columns in `runs.parquet`.
LOSSES = {"final": "final_loss", "test": "test_loss"}


def choose_rates(cells: Sequence[SweptCell], tuning: pd.DataFrame) -> dict[str, bool | None]:
    """Say for each cell whether its learning rate is the chosen one among cells that differ in nothing else.

    Args:
        cells: of the sweep.
        tuning: cell, test_loss of the tuning runs and tasks; may be empty.

    Returns:
        by cell: True for the lowest mean test loss over tuning runs and tasks (section 5.1's grid search), or for
        the only rate; None where there are several rates but not tuning runs for each. A rate at which a tuning run
        diverged is not chosen unless all did.
    """
    groups: dict[tuple[object, ...], list[SweptCell]] = {}
    for cell in cells:
        rest = {key: value for key, value in cell.keys.items() if key not in ("cell", "learning_rate")}
        groups.setdefault(tuple(rest.items()), []).append(cell)
    chosen: dict[str, bool | None] = {}
    for group in groups.values():
        names = [cell.identity for cell in group]
        if len(names) == 1:
            chosen[names[0]] = True
            continue
        by_cell = {name: tuning.loc[tuning["cell"] == name, "test_loss"] for name in names} if len(tuning) else {}
        if not by_cell or any(losses.empty for losses in by_cell.values()):
            chosen.update(dict.fromkeys(names))
            continue
        means = {name: losses.mean(skipna=False) for name, losses in by_cell.items()}
        best = min(names, key=lambda name: means[name] if np.isfinite(means[name]) else np.inf)
        chosen.update({name: name == best for name in names})
    return chosen


def losses_table(cells: Sequence[SweptCell], runs: pd.DataFrame, chosen: dict[str, bool | None]) -> pd.DataFrame:
    """Summarise `runs.parquet`, a row per cell, task and loss. Diverged runs are counted, and left out of the rest."""
    several_laws = len({cell.data.name for cell in cells}) > 1
    rows = []
    for cell in cells:
        keys, identity, pearson = cell.keys, cell.identity, cell.label_pearson
        if not several_laws:
            del keys["data"]
        mine = runs[runs["cell"] == identity]
        for task, of_task in mine.groupby("task"):
            for loss, column in LOSSES.items():
                sample = of_task.loc[~of_task["diverged"], column].to_numpy(float)
                mean, sd = bootstrap(sample), bootstrap(sample, standard_deviation)
                rows.append(
                    {
                        **keys,
                        "chosen": chosen[identity],
                        "task": task,
                        "loss": loss,
                        "label_pearson": pearson,
                        "runs": len(of_task),
                        "diverged": int(of_task["diverged"].sum()),
                        "mean": mean.value,
                        "mean_low": mean.low,
                        "mean_high": mean.high,
                        "sd": sd.value,
                        "sd_low": sd.low,
                        "sd_high": sd.high,
                        "median": np.median(sample) if sample.size else np.nan,
                        "iqm": iqm(sample) if sample.size else np.nan,
                        "best": sample.min(initial=np.inf) if sample.size else np.nan,
                        "worst": sample.max(initial=-np.inf) if sample.size else np.nan,
                        "stuck": int(of_task["stuck"].sum()),
                    }
                )
    return pd.DataFrame(rows)
