"""What a sweep's runs surely show, in a sentence: the titles of its pictures; nothing where they are not sure."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from mmoe_repro.findings.statistics import dip_p
from mmoe_repro.names import name_of
from mmoe_repro.runs.results import SweptCell
from mmoe_repro.text import listed

#: A heap holds this share of the runs or more; neighbours are parted by an empty stretch of this share of the range.
_HEAP, _GAP = 0.05, 0.08
#: p-value of one mode below which runs surely end in several heaps.
_SURE = 0.01
_NUMBERS = ("", "one heap", "two heaps", "three heaps", "four heaps", "five heaps")


def heaps(losses: np.ndarray) -> int:
    """How many heaps the losses of runs `(runs,)` surely form; 1 unless a dip test says that they have several modes.

    A heap is parted from the next by an empty stretch of 8 % of the range of the losses; strays of fewer than 5 % of
    the runs are no heap.

    >>> heaps(np.concatenate([np.linspace(0.1, 0.12, 40), np.linspace(0.3, 0.31, 30), np.linspace(0.45, 0.46, 30)]))
    3
    """
    ordered = np.sort(losses)
    if not dip_p(ordered) < _SURE or np.ptp(ordered) == 0:
        return 1
    ends = np.flatnonzero(np.diff(ordered) > _GAP * np.ptp(ordered)) + 1
    sizes = np.diff([0, *ends, len(ordered)])
    return max(int((sizes >= _HEAP * len(ordered)).sum()), 1)


def headlines(
    cells: Sequence[SweptCell],
    chosen: Mapping[str, bool | None],
    runs: pd.DataFrame,
    losses: pd.DataFrame,
    gates: pd.DataFrame,
) -> dict[str, str]:
    """A sentence for each picture, by its name, whose data surely carry one.

    Args:
        cells: of the sweep; one with several settings apart from model and correlation has no single finding.
        chosen: by cell, whether its learning rate is the chosen one.
        runs: task 1's, without diverged ones, with `live_units`.
        losses: `losses.csv`.
        gates: of `gates_summary`.
    """
    shown = [cell for cell in cells if chosen[cell.identity] is not False]
    places = {(cell.model.name, cell.data.correlation): cell.identity for cell in shown}
    if len(places) < len(shown) or len({cell.data.name for cell in shown}) > 1:
        return {}
    of_task = losses[losses["task"] == 1]
    means = of_task[of_task["loss"] == "final"].set_index("cell")[["mean_low", "mean_high"]]
    spreads = of_task[of_task["loss"] == "test"].set_index("cell")[["sd_low", "sd_high"]]
    ends = _extreme(places, means, lowest=True, says="ends lowest on average")
    ends = ends or _extreme(places, means, lowest=False, says="ends highest on average")
    found = {
        "correlation": ends,
        "curves": ends,
        "spread": _extreme(places, spreads, lowest=False, says="varies most between runs"),
        "histograms": _heaps(places, runs),
        "live_units": _live_units(places, runs),
        "gates": _gates(places, gates),
    }
    return {name: sentence for name, sentence in found.items() if sentence}


Places = Mapping[tuple[str, float | None], str]


def _correlations(places: Places) -> list[float]:
    return sorted({p for _, p in places if p is not None})


def _models(places: Places) -> list[str]:
    return list(dict.fromkeys(model for model, _ in places))


def _where(correlations: Iterable[float], of: Sequence[float]) -> str:
    at = [f"{p:g}" for p in correlations]
    return "at every task correlation" if len(at) == len(of) > 1 else f"at task correlation {listed(at)}"


def _extreme(places: Places, intervals: pd.DataFrame, lowest: bool, says: str) -> str:
    """Name the model whose 95 % interval lies beyond those of all others, at the correlations where it does."""
    at: dict[str, list[float]] = {}
    correlations, models = _correlations(places), _models(places)
    if len(models) < 2:
        return ""
    for p in correlations:
        mine = {model: intervals.loc[places[model, p]].to_numpy(float) for model in models if (model, p) in places}
        for model, (low, high) in mine.items():
            others = np.array([ends for other, ends in mine.items() if other != model])
            if len(mine) == len(models) and bool((high < others[:, 0]).all() if lowest else (low > others[:, 1]).all()):
                at.setdefault(model, []).append(p)
    parts = [f"{name_of(model)} {says} {_where(where, correlations)}" for model, where in at.items()]
    return "; ".join(parts) if len(parts) <= 2 else ""


def _heaps(places: Places, runs: pd.DataFrame) -> str:
    """Name the models whose runs end in several heaps at every correlation."""
    models: dict[str, list[str]] = {}
    for model in _models(places):
        counts = [
            heaps(runs.loc[runs["cell"] == cell, "final_loss"].to_numpy(float))
            for (name, _), cell in places.items()
            if name == model
        ]
        if min(counts) > 1 and max(counts) < len(_NUMBERS):
            count = _NUMBERS[min(counts)] + ("" if min(counts) == max(counts) else " or more")
            models.setdefault(count, []).append(name_of(model))
    return "; ".join(f"{listed(names)}'s runs end in {count}" for count, names in models.items())


def _live_units(places: Places, runs: pd.DataFrame) -> str:
    """Whether fewer live units go with higher losses in every cell where they vary, by ranks, beyond doubt."""
    signs = []
    for cell in places.values():
        mine = runs[(runs["cell"] == cell) & runs["live_units"].notna()]
        if len(mine) >= 10 and mine["live_units"].nunique() > 1 and mine["final_loss"].nunique() > 1:
            rank = mine["live_units"].corr(mine["final_loss"], method="spearman")
            signs.append(rank < -3 / np.sqrt(len(mine) - 1))  # three standard errors of no correlation
    return "Runs with fewer live units end with higher losses" if signs and all(signs) else ""


def _gates(places: Places, gates: pd.DataFrame) -> str:
    """Name the models whose gates surely differ more between the tasks at the least correlation than at the highest."""
    correlations = _correlations(places)
    if gates.empty or len(correlations) < 2:
        return ""
    ends = gates.set_index("cell")[["gate_divergence_low", "gate_divergence_high"]]
    names = []
    for model in _models(places):
        least, most = (places.get((model, p)) for p in (correlations[0], correlations[-1]))
        if least in ends.index and most in ends.index and ends.loc[least].iloc[0] > ends.loc[most].iloc[1]:
            names.append(name_of(model))
    if not names or len(names) > 3:
        return ""
    return f"{listed(names)}: the tasks' gates differ more where the tasks are less alike"
