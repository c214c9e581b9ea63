"""Both tasks of a run: whether it learnt both, one or none, against what independent tasks would do.

At task correlation 1 the tasks are the same function. A run that learnt exactly one of them had the answer in what its
tasks share, so the other task's own part failed: the tower, in a Shared-Bottom.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from mmoe_repro.findings.claim_comparisons import ends_badly
from mmoe_repro.findings.verdicts import Judged, key_of

#: What a run of two tasks can have learnt, best first.
OUTCOMES = ("both", "one", "none")


def joint_outcomes_table(judged: Sequence[Judged], runs: pd.DataFrame, claims: Mapping[str, Any]) -> pd.DataFrame:
    """Count what the runs of each cell of two tasks and a claim's model learnt, a row each.

    A task is learnt unless its test loss ends badly, as the claims say of task 1's.

    Args:
        judged: the sweep's groups of cells that are judged apart.
        runs: `runs.parquet`.
        claims: `conf/claims/paper.yaml`.

    Returns:
        cell, runs, both, one, none (counts), expected_one (how many would have learnt exactly one if the tasks' ends
        were independent), r (their correlation; NaN where all ends are alike), p (of independence, by Fisher's exact
        test).
    """
    rows = []
    for group in judged:
        by_task = []
        for task in (1, 2):
            of_task = runs[(runs["task"] == task) & ~runs["diverged"]]
            losses = {
                key_of(cell): of_task[of_task["cell"] == cell.identity].set_index("seed")["test_loss"]
                for cell in group.cells
            }
            by_task.append(ends_badly(losses, claims["bad"]))
        for cell in group.cells:
            key = key_of(cell)
            if all(key in bad for bad in by_task) and int(cell.data.settings.get("tasks", 2)) == 2:
                together = pd.concat([bad[key] for bad in by_task], axis=1, join="inner").to_numpy(bool)
                if len(together):
                    rows.append({"cell": cell.identity, **_counted(~together)})
    columns = ["cell", "runs", *OUTCOMES, "expected_one", "r", "p"]
    return pd.DataFrame(rows, columns=columns)


def _counted(learnt: np.ndarray) -> dict[str, float]:
    """Of `learnt` `(runs, 2)`."""
    runs, number = len(learnt), learnt.sum(axis=1)
    first, second = learnt.mean(axis=0)
    varies = 0 < first < 1 and 0 < second < 1
    table = [[np.sum((learnt[:, 0] == a) & (learnt[:, 1] == b)) for b in (True, False)] for a in (True, False)]
    return {
        "runs": runs,
        "both": int((number == 2).sum()),
        "one": int((number == 1).sum()),
        "none": int((number == 0).sum()),
        "expected_one": float(runs * (first * (1 - second) + second * (1 - first))),
        "r": float(np.corrcoef(learnt[:, 0], learnt[:, 1])[0, 1]) if varies else np.nan,
        "p": float(stats.fisher_exact(table).pvalue) if varies else np.nan,
    }
