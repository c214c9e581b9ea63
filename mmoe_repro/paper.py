"""The paper's own numbers, read off its figures; see `paper_data/`."""

from functools import cache
from importlib.resources import files

import pandas as pd


@cache
def table(name: str) -> pd.DataFrame:
    """One of the paper's tables: figure2, figure3, figure4, figure5, tables1-2_census.

    - figure2: weight_cosine, label_pearson_mean, label_pearson_2sd over 100 trials of 10,000 points.
    - figure3: correlation, step, mean_loss of 200 Shared-Bottom runs (bottom 16).
    - figure4: correlation, model, step, mean_loss of 200 runs.
    - figure5: correlation, model, bin_left, bin_right, fraction of the 200 final losses.
    - tables1-2_census: AUC on census-income.
    """
    with (files("mmoe_repro") / "paper_data" / f"{name}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)
