"""The recovery's pictures: what the search says of each choice, and the best setting beside the paper."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mmoe_repro.recovery import search
from mmoe_repro.recovery.score import WINDOW, Curve, Readout, name, read
from mmoe_repro.runs.curves import mean_curves
from mmoe_repro.views import figures
from mmoe_repro.views.panels import Axis, Panel, Picture, Points, Style, log_axis
from mmoe_repro.views.style import NEUTRAL, OURS, Series, style_of

#: Choices whose profile is drawn, with their names for readers.
_CHOICES = {
    "law": "law that gives Figure 2",
    "log2_batch_size": "batch size",
    "learning_rate": "learning rate",
    "initializer": "initialiser",
    "gain": "gain of the initialiser",
    "sd": "sd of normal weights",
    "output_gain": "further gain of output layers",
    "gate_gain": "further gain of gates",
    "bias": "biases",
    "examples": "training examples",
    "factor": "factor of the squared error",
    "plateau": "loss of a constant",
}
#: This many names fit below a panel.
_NAMES = 12
_TRIED, _BEST = Style(NEUTRAL), Style(OURS, "D")


def profiles(table: pd.DataFrame) -> Picture:
    """Score after the first comparison against each choice, with the best for each value as a bar.

    Args:
        table: of `search.search_table`.
    """
    tried = pd.DataFrame([search.choices(row) for _, row in table.iterrows()])
    scores = table["score_1"].to_numpy(float)
    y = log_axis("score", scores)
    panels = [
        _profile(label, tried.get(choice, pd.Series(dtype=object)), scores, y) for choice, label in _CHOICES.items()
    ]
    best = scores.min() if len(scores) else np.nan
    return Picture(
        title=f"{len(table):,} settings: how far Shared-Bottom at p = 0.5 is from the paper after 10,000 steps",
        note=f"score, 1 being indistinguishable; best {best:.2f}; purple: the best for each value",
        words="",
        panels=panels,
        columns=4,
        size=(3.0, 2.5),
    )


def _profile(label: str, values: pd.Series, scores: np.ndarray, y: Axis) -> Panel:
    known = values.notna().to_numpy() if len(values) else np.zeros(0, bool)
    values, scores = values[known], scores[known]
    if values.empty:
        return Panel("", Axis(label, 0, 1), y, empty="no setting")
    if values.nunique() > 5 and values.map(lambda value: isinstance(value, float) and value % 1 != 0).any():
        numbers = values.to_numpy(float)
        pad = 0.04 * (np.ptp(numbers) or 1.0)
        x = Axis(label, float(numbers.min() - pad), float(numbers.max() + pad))
        return Panel("", x, y, [Points(numbers, scores, _TRIED)])
    # The order of numbers, and words after them.
    order = sorted(values.unique(), key=lambda value: (isinstance(value, str), value))
    whole = [int(value) if isinstance(value, float) and value % 1 == 0 else value for value in order]
    shown = [2**value for value in whole] if "batch" in str(values.name) else whole
    places = values.map({value: float(place) for place, value in enumerate(order)}).to_numpy(float)
    best = np.array([scores[places == place].min() for place in range(len(order))])
    x = Axis(label, -0.6, len(order) - 0.4, names=_written(shown))
    at = np.arange(len(order), dtype=float)
    return Panel("", x, y, [Points(places, scores, _TRIED), Points(at, best, _BEST)])


def _written(values: Sequence[object]) -> tuple[str, ...]:
    """Names of values along an axis: in lines of words, and of many every second or third."""
    every = -(-len(values) // _NAMES)
    return tuple("" if at % every else str(value).replace("_", "\n") for at, value in enumerate(values))


def beside_the_paper(losses: Mapping[Curve, np.ndarray], readout: Readout) -> dict[str, Picture]:
    """Mean curves over those of Figures 3 and 4, and final losses over Figure 5's, as a sweep's pictures.

    Args:
        losses: as `score.read` takes them, by curve.
        readout: what the paper's loss is.
    """
    series, curves, runs = [], [], []
    kinds = dict.fromkeys((curve.figure, curve.model) for curve in losses)
    for figure, model in kinds:
        variant = "Figure 3's network" if figure == "figure3" else "Figure 4's networks"
        mine = sorted(curve.correlation for curve in losses if (curve.figure, curve.model) == (figure, model))
        cells = {p: name(Curve(figure, model, p)) for p in mine}
        series.append(Series(model, variant, "recovered", figure, cells, style_of(model, [model])))
    for curve, values in losses.items():
        as_read = read(values, readout)
        count, windows = as_read.shape
        of_run = {"cell": name(curve), "task": 1}
        steps = np.tile(np.arange(windows) * WINDOW, count)
        curves.append(pd.DataFrame({**of_run, "step": steps, "loss": as_read.ravel()}))
        runs.append(pd.DataFrame({**of_run, "final_loss": as_read[:, -1], "live_units": np.nan}))
    of_figure5 = [replace(one, variant="") for one in series if one.paper_figure == "figure4"]
    all_curves = figures.curves(series, mean_curves(pd.concat(curves, ignore_index=True)), 1.0)
    assert all_curves is not None
    return {"curves": all_curves, "histograms": figures.histograms(of_figure5, pd.concat(runs, ignore_index=True), 1.0)}
