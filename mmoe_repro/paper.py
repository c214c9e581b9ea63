"""The paper's own numbers, read off its figures; see `paper_data/`."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
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


def figure_of(model: Mapping[str, Any]) -> str:
    """The figure of the mean curve of such a network: `figure3`, whose bottom has 16 units, or `figure4`."""
    return "figure3" if model.get("bottom") == [16] else "figure4"


def mean_curve(figure: str, model: str, correlation: float, paper_loss: float = 1.0) -> pd.DataFrame:
    """Step and mean_loss of a curve of Figure 3 or 4, by step; no rows where the paper has none.

    Args:
        figure: `figure3` or `figure4`.
        model: of the curve; Figure 3 has `shared_bottom` only.
        correlation: of the tasks.
        paper_loss: how many squared errors a loss of the paper is, 0.5 if it halves them; ours are returned.
    """
    rows = table(figure) if figure == "figure4" else table(figure).assign(model="shared_bottom")
    rows = rows[(rows["model"] == model) & (rows["correlation"] == correlation)].sort_values("step")
    return rows[["step", "mean_loss"]].assign(mean_loss=rows["mean_loss"] / paper_loss)


def histogram(figure: str, model: str, correlation: float, paper_loss: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Bin edges `(bins + 1,)` and shares of runs `(bins,)` of the final losses; both empty where the paper has none.

    Arguments as of `mean_curve`: Figure 5 has the final losses of Figure 4's runs, and there are none of Figure 3's.
    """
    if figure != "figure4":
        return np.empty(0), np.empty(0)
    rows = table("figure5")
    # Read off the figure, p = 1 has two empty bins more, which lie across others.
    on_grid = (rows["bin_left"] * 30).round(1) % 1 == 0
    rows = rows[on_grid & (rows["model"] == model) & (rows["correlation"] == correlation)].sort_values("bin_left")
    # The table has four digits; bins are a thirtieth wide.
    edges = np.rint(np.append(rows["bin_left"], rows["bin_right"].tail(1)) * 30) / 30
    return edges / paper_loss, rows["fraction"].to_numpy()


def final_sd(figure: str, model: str, correlation: float, paper_loss: float = 1.0) -> float | None:
    """Standard deviation of the final losses, by the middles of Figure 5's bins; None where the paper has none.

    Arguments as of `mean_curve`.
    """
    edges, shares = histogram(figure, model, correlation, paper_loss)
    if not shares.size:
        return None
    middles, weights = (edges[:-1] + edges[1:]) / 2, shares / shares.sum()
    return float(np.sqrt(weights @ (middles - weights @ middles) ** 2))


def legend(figure: str, paper_loss: float) -> str:
    """What it is called where it is drawn over ours, with what its losses are multiplied by."""
    scaled = "" if paper_loss == 1 else f" × {1 / paper_loss:g}"
    return f"paper's Figure {figure[-1]}{scaled}"
