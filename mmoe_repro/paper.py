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


def in_squared_errors(figure: str, paper_loss: float) -> pd.DataFrame:
    """Figure 4 or 5 with its losses as squared errors.

    Args:
        figure: `figure4` or `figure5`.
        paper_loss: how many squared errors a loss of the paper is, 0.5 if it halves them.
    """
    columns = ["mean_loss"] if figure == "figure4" else ["bin_left", "bin_right"]
    return table(figure).assign(**{column: table(figure)[column] / paper_loss for column in columns})


def legend(figure: str, paper_loss: float) -> str:
    """What it is called where it is drawn over ours, with what its losses are multiplied by."""
    scaled = "" if paper_loss == 1 else f" × {1 / paper_loss:g}"
    return f"paper's Figure {figure[-1]}{scaled}"
