"""The recovery's figures: what the search says of each choice, and the best setting beside the paper."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmoe_repro import plots
from mmoe_repro.names import NAMES
from mmoe_repro.recovery import search
from mmoe_repro.recovery.score import FIGURE4_FROM, WINDOW, Curve, Readout, histogram, published, read

#: Choices whose profile is drawn, with their names for readers.
_CHOICES = {
    "law_from": "data law from",
    "law": "law that gives Figure 2",
    "log2_batch_size": "batch size",
    "examples": "training examples",
    "factor": "factor of the squared error",
    "plateau": "loss of a constant",
    "initializer": "initialiser",
    "gain": "gain of the initialiser",
    "bias": "biases",
}
_COLORS = {0.5: "#D55E00", 1.0: "#0072B2"}


def profiles(table: pd.DataFrame) -> Figure:
    """Score against each choice of the settings that were tried in full, with the best for each value as a bar.

    Args:
        table: of `search.search_table`.
    """
    complete = table[table["state"] == "complete"]
    tried = pd.DataFrame([search.choices(row) for _, row in complete.iterrows()])
    figure = Figure(figsize=(10, 7.5))
    panels = figure.subplots(3, 3, sharey=True)
    for axes, (choice, label) in zip(panels.flat, _CHOICES.items(), strict=True):
        _profile(axes, tried.get(choice, pd.Series(dtype=object)), complete["score"].to_numpy(float))
        axes.set_xlabel(label)
        plots.plain_log(axes)
    for row in panels:
        row[0].set_ylabel("score (log scale)")
    best = complete["score"].min() if len(complete) else np.nan
    figure.suptitle(f"{len(complete):,} settings tried in full: score, 1 being indistinguishable; best {best:.2f}")
    return figure


def _profile(axes: Axes, values: pd.Series, scores: np.ndarray) -> None:
    known = values.notna().to_numpy()
    values, scores = values[known], scores[known]
    if values.empty:
        return
    if values.nunique() > 5 and values.map(lambda value: isinstance(value, float) and value % 1 != 0).any():
        axes.plot(values.to_numpy(float), scores, ".", color="#0072B2", alpha=0.5, markersize=4)
        return
    # The order of numbers, and "fresh" after them.
    order = sorted(values.unique(), key=lambda value: (isinstance(value, str), value))
    for place, value in enumerate(order):
        mine = scores[(values == value).to_numpy()]
        axes.plot(np.full(len(mine), place), mine, ".", color="#0072B2", alpha=0.5, markersize=4)
        axes.plot([place - 0.3, place + 0.3], [mine.min()] * 2, color="#D55E00")
    whole = [int(value) if isinstance(value, float) and value % 1 == 0 else value for value in order]
    shown = [2**value for value in whole] if "batch" in str(values.name) else whole
    axes.set_xticks(range(len(order)), [str(value) for value in shown], fontsize=7)


def curves(losses: Mapping[Curve, np.ndarray], readout: Readout) -> Figure:
    """Mean curves of a setting with those of Figures 3 and 4 over them.

    Args:
        losses: as `score.read` takes them, by curve.
        readout: what the paper's loss is.
    """
    kinds = list(dict.fromkeys((curve.figure, curve.model) for curve in losses))
    figure = Figure(figsize=(3.1 * len(kinds), 3.6))
    for axes, (paper_figure, model) in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for curve, values in losses.items():
            if (curve.figure, curve.model) != (paper_figure, model):
                continue
            mean = read(values, readout).mean(0)
            steps = np.arange(len(mean)) * WINDOW
            shown = steps >= (FIGURE4_FROM if paper_figure == "figure4" else 0)
            color, of_p = _COLORS[curve.correlation], f"p = {curve.correlation:g}"
            axes.plot(steps[shown], mean[shown], color=color, label=f"{of_p}, here")
            axes.plot(*published(curve), "--", color=color, linewidth=1, label=f"{of_p}, paper")
        axes.set_title(f"Figure {paper_figure[-1]}, {NAMES[model]}")
        axes.set_xlabel("step")
        plots.plain_log(axes)
        axes.legend(fontsize=7)
    figure.axes[0].set_ylabel("mean loss (log scale)")
    return figure


def histograms(losses: Mapping[Curve, np.ndarray], readout: Readout) -> Figure:
    """Final losses of a setting with those of Figure 5 over them; arguments as of `curves`."""
    of_figure5 = {curve: values for curve, values in losses.items() if curve.figure == "figure4"}
    models = list(dict.fromkeys(curve.model for curve in of_figure5))
    correlations = sorted({curve.correlation for curve in of_figure5})
    figure = Figure(figsize=(3.1 * len(models), 2.2 * len(correlations) + 0.8))
    panels = figure.subplots(len(correlations), len(models), sharex=True, sharey=True, squeeze=False)
    edges = np.arange(0, 0.7, 1 / 30)
    for curve, values in of_figure5.items():
        axes = panels[correlations.index(curve.correlation)][models.index(curve.model)]
        final = read(values, readout)[:, -1].clip(edges[0], edges[-1])
        heights, _ = np.histogram(final, edges)
        axes.stairs(heights / len(final), edges, fill=True, color=_COLORS[curve.correlation], alpha=0.7, label="here")
        of_paper = histogram(curve.model, curve.correlation)
        axes.stairs(of_paper.shares, of_paper.edges, color="black", ls="--", linewidth=1, label="paper's Figure 5")
        axes.set_title(f"{NAMES[curve.model]}, p = {curve.correlation:g}", fontsize=9)
    for row in panels:
        row[0].set_ylabel("share of runs")
    for axes in panels[-1]:
        axes.set_xlabel("final loss")
    panels[0][0].legend(fontsize=7)
    return figure
