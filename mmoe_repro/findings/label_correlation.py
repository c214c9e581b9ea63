"""The paper's Figure 2: label Pearson correlation against task correlation."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from mmoe_repro import paper
from mmoe_repro.data.law import Law
from mmoe_repro.data.normals import UNIT, CPUNormals
from mmoe_repro.data.seeds import derived, generator

#: Trials that a point of the paper's Figure 2 is the mean of, and the examples of each.
TRIALS, POINTS = 100, 10_000


def trial_correlations(laws: Sequence[Law], points: int, seed: int) -> np.ndarray:
    """Label Pearson correlation of tasks 1 and 2 in one trial, for each law `(laws,)`.

    Laws that take the same normal numbers get the same, as in a sweep: only their weights and labels differ.

    Args:
        laws: one for each task correlation.
        points: examples of the trial.
        seed: of its weights and examples.
    """
    count = math.ceil(points / UNIT) * UNIT
    sources = [
        CPUNormals([derived(seed, "examples", number)], count, size, torch.float32)
        for number, size in enumerate(laws[0].normals)
    ]
    normals = [source.take()[0][:points] for source in sources]
    found = []
    for law in laws:
        _, y = law.draw(law.weights(generator(seed, "weights"), torch.float32), *normals)
        found.append(float(torch.corrcoef(y[:, :2].double().T)[0, 1]))
    return np.array(found)


def correlation_table(
    laws: Sequence[Law], correlations: Sequence[float], trials: np.ndarray, points: int
) -> pd.DataFrame:
    """Figure 2 as a table, a row for each task correlation.

    Args:
        laws: one for each task correlation.
        correlations: the task correlations.
        trials: label correlations `(trials, correlations)`.
        points: examples of a trial.

    Returns:
        correlation, closed_form, closed_form_two_sd (what the law expects of the trials), trials, mean, two_sd;
        paper_mean, paper_two_sd where the paper has a point.
    """

    def spread(law: Law) -> float:
        method = getattr(law, "label_pearson_spread", None)
        return np.nan if method is None else float(method(points))

    table = pd.DataFrame(
        {
            "correlation": correlations,
            "closed_form": [float(getattr(law, "label_pearson", np.nan)) for law in laws],
            "closed_form_two_sd": [2 * spread(law) for law in laws],
            "trials": len(trials),
            "mean": trials.mean(0),
            "two_sd": 2 * trials.std(0, ddof=1) if len(trials) > 1 else np.nan,
        }
    )
    columns = {"weight_cosine": "correlation", "label_pearson_mean": "paper_mean", "label_pearson_2sd": "paper_two_sd"}
    return table.merge(paper.table("figure2").rename(columns=columns), on="correlation", how="left")
