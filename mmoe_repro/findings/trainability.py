"""How much of a range of settings a model trains well in, what its losses vary with, and what each setting changes.

The paper calls a model trainable that is "robust to hyper-parameters and initialisation"; so both are varied, and each
model is compared with its own best.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mmoe_repro.findings.statistics import contrast, log_ratio_of_means, log_ratio_of_sds
from mmoe_repro.runs.results import SweptCell

#: A loss is near the best if it is at most this many times it; as in the claims, a quarter is "almost equal".
NEAR = 1.25
#: A range is of this many settings or more.
_LEAST = 3
_RANGE_APART = ("model", "data", "correlation")
#: Swept keys that make another task of it, not another way to train for the same one.
_OTHER_TASKS = ("data.", "training.steps", "training.window")


class Components(NamedTuple):
    """Variances of losses by what they vary with: the data, the initial weights, and both together."""

    data: float
    init: float
    rest: float


def components(losses: np.ndarray) -> Components:
    """Split the variance of crossed runs `(data seeds, init seeds)` by the method of moments.

    The two-way analysis of variance with random effects; `rest` holds what depends on the pair. An estimate may turn
    out below zero, which then stands for about none.
    """
    rows, columns = losses.shape
    mean, by_data, by_init = losses.mean(), losses.mean(1), losses.mean(0)
    rest = losses - by_data[:, None] - by_init[None, :] + mean
    of_rest = float((rest**2).sum() / ((rows - 1) * (columns - 1)))
    return Components(
        float(by_data.var(ddof=1) - of_rest / columns), float(by_init.var(ddof=1) - of_rest / rows), of_rest
    )


def ranges(cells: Sequence[SweptCell]) -> dict[tuple[Any, ...], list[SweptCell]]:
    """The cells of each model, law and correlation, by these, where they span a range of other settings.

    A law has the name of its swept settings, too; a correlation that a law does not have is NaN.
    """
    found: dict[tuple[Any, ...], list[SweptCell]] = {}
    for cell in cells:
        swept = [f"{key} {value}" for key, value in cell.swept.items() if key.startswith(_OTHER_TASKS)]
        correlation = cell.keys["correlation"]
        law, p = ", ".join([cell.data.name, *swept]), np.nan if correlation is None else correlation
        found.setdefault((cell.model.name, law, p), []).append(cell)
    return {key: of_range for key, of_range in found.items() if len(of_range) >= _LEAST}


@dataclass(frozen=True)
class Profile:
    """How near the runs of a range of settings come to its best setting.

    Attributes:
        ratios: final losses divided by the lowest mean of a setting, ascending `(runs,)`; infinite where runs diverged.
        shares: of the runs, up to each of them `(runs,)`. Settings weigh alike, however many runs they have.
    """

    ratios: np.ndarray
    shares: np.ndarray

    def within(self, factors: Any) -> Any:
        """Share of the runs within these factors of the best mean."""
        return np.append(0.0, self.shares)[np.searchsorted(self.ratios, factors, "right")]


def profile(of_range: Sequence[SweptCell], runs: pd.DataFrame) -> Profile:
    """The profile of a range.

    Args:
        of_range: cells of one model, law and correlation.
        runs: `runs.parquet`, of one task.
    """
    best = min(_mean(cell, runs) for cell in of_range)
    losses = [of_cell for cell in of_range if len(of_cell := _losses(cell, runs))]
    ratios = np.concatenate(losses) / (best if 0 < best < np.inf else np.nan)
    weights = np.concatenate([np.full(len(of_cell), 1 / len(of_cell) / len(losses)) for of_cell in losses])
    ascending = np.argsort(ratios)
    return Profile(ratios[ascending], weights[ascending].cumsum())


def _mean(cell: SweptCell, runs: pd.DataFrame) -> float:
    """Mean final loss; infinite if a run diverged."""
    losses = _losses(cell, runs)
    return float(losses.mean()) if len(losses) else np.inf


def _losses(cell: SweptCell, runs: pd.DataFrame) -> np.ndarray:
    mine = runs[runs["cell"] == cell.identity].sort_values("seed")
    return np.where(mine["diverged"], np.inf, mine["final_loss"].to_numpy(float))


def trainability_table(cells: Sequence[SweptCell], runs: pd.DataFrame) -> pd.DataFrame:
    """A row for every model, law and correlation that a range of settings was tried with.

    Columns: model, data, correlation, settings, best (the lowest mean of a setting), near_settings and near_runs
    (shares at most `NEAR` times that), and of the runs at the best learning rate, where they are crossed, standard
    deviations by cause: sd_setting (the initialiser, or whatever else was swept), sd_data, sd_init, sd_rest.
    """
    runs = runs[runs["task"] == 1]
    rows = []
    for key, of_range in ranges(cells).items():
        means = np.array([_mean(cell, runs) for cell in of_range])
        best = means.min()
        rows.append(
            {
                **dict(zip(_RANGE_APART, key, strict=True)),
                "settings": len(of_range),
                "best": best,
                "near_settings": float((means <= NEAR * best).mean()) if np.isfinite(best) else 0.0,
                "near_runs": float(profile(of_range, runs).within(NEAR)),
                **_causes([cell for cell in of_range if _rate(cell) == _rate(of_range[int(means.argmin())])], runs),
            }
        )
    return pd.DataFrame(rows)


def changes_table(cells: Sequence[SweptCell], runs: pd.DataFrame) -> pd.DataFrame:
    """Compare every setting of a range with its first, in pairs of runs of the same seed.

    Args:
        cells: of the sweep.
        runs: `runs.parquet`, of one task, without diverged runs, with `live_units`.

    Returns:
        a row for every setting: the keys that differ, mean and sd (ratios to those of the first setting) with their
        95 % intervals, live_units (the mean number). No rows without ranges.
    """
    rows = []
    for of_range in ranges(cells).values():
        first = runs[runs["cell"] == of_range[0].identity].set_index("seed")
        for cell in of_range:
            mine = runs[runs["cell"] == cell.identity].set_index("seed")
            row = {key: value for key, value in cell.keys.items() if key != "cell"}
            for name, column, quantity in (
                ("mean", "final_loss", log_ratio_of_means),
                ("sd", "test_loss", log_ratio_of_sds),
            ):
                both = pd.concat([mine[column], first[column]], axis=1, join="inner").to_numpy(float)
                found = contrast(list(both.T), quantity, 0.0)
                ends = [float(np.exp(end)) for end in (found.value, found.low, found.high)]
                row.update(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
            rows.append({**row, "live_units": mine["live_units"].mean()})
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    keys = list(table.columns)[: list(table.columns).index("mean")]
    return table.drop(columns=[key for key in keys if key != "model" and table[key].nunique(dropna=False) == 1])


def _rate(cell: SweptCell) -> Any:
    return cell.keys["learning_rate"]


def _crossed(cell: SweptCell, runs: pd.DataFrame) -> np.ndarray | None:
    """Final losses `(data seeds, init seeds)` of crossed runs; None if any is missing, or if either seed is but one."""
    crossed = cell.crossed
    if not crossed:
        return None
    mine = runs[(runs["cell"] == cell.identity) & ~runs["diverged"]]
    seeds = {"data": mine["seed"] // crossed, "init": mine["seed"] % crossed}
    matrix = mine.assign(**seeds).pivot(index="data", columns="init", values="final_loss").to_numpy(float)
    return matrix if min(matrix.shape) > 1 and np.isfinite(matrix).all() else None


def _causes(cells: Sequence[SweptCell], runs: pd.DataFrame) -> dict[str, float]:
    """Standard deviations by cause of the crossed runs of cells with one learning rate."""
    matrices = []
    for cell in cells:
        matrix = _crossed(cell, runs)
        if matrix is None:
            return dict.fromkeys(("sd_setting", "sd_data", "sd_init", "sd_rest"), np.nan)
        matrices.append(matrix)
    data, init, rest = np.mean([components(matrix) for matrix in matrices], axis=0)
    between = np.nan
    if len(matrices) > 1:
        # Cells share their data, whose effect cancels; the same init seed gives other weights with another initialiser.
        means = np.array([matrix.mean() for matrix in matrices])
        between = means.var(ddof=1) - init / matrices[0].shape[1] - rest / matrices[0].size
    causes = {"sd_setting": between, "sd_data": data, "sd_init": init, "sd_rest": rest}
    return {cause: float(np.sqrt(max(variance, 0.0))) for cause, variance in causes.items()}
