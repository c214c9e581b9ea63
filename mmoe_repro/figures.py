"""The figures of a sweep, each to be understood without the text."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmoe_repro import paper
from mmoe_repro.names import NAMES
from mmoe_repro.plots import (
    COLORS,
    MARKERS,
    Series,
    color_of,
    correlations_of,
    histogram_bins,
    legend_below,
    plain_log,
    save,
    shades_of,
)
from mmoe_repro.results import SweptCell
from mmoe_repro.statistics import Estimate, bootstrap, standard_deviation
from mmoe_repro.trainability import NEAR, profile, ranges

#: More series than this are drawn in panels or rows of their own.
_OVERLAID = 6


def draw(
    folder: Path,
    cells: Sequence[SweptCell],
    series: Sequence[Series],
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    gates: pd.DataFrame,
    paper_loss: float,
) -> list[Path]:
    """Draw all figures of a sweep.

    Args:
        folder: where they go.
        cells: of the sweep.
        series: what to show of them.
        runs: `runs.parquet`.
        curves: `curves.parquet`.
        gates: `gates.parquet`, or no rows.
        paper_loss: how many squared errors a loss of the paper is.

    Returns:
        the PNG files.
    """
    runs, curves, gates = (table[table["task"] == 1] if len(table) else table for table in (runs, curves, gates))
    all_runs, runs = runs, runs[~runs["diverged"]]
    curves = curves[curves["loss"].notna()]
    many = len(series) > _OVERLAID
    against_correlation = _rows if many else _against_correlation
    figures: dict[str, Callable[[], Figure]] = {
        "curves": partial(_curves_by_series, series, curves) if many else partial(_curves, series, curves, paper_loss),
        "histograms": partial(_histograms, series, runs, paper_loss, down=many),
        "spread": partial(
            against_correlation,
            series,
            runs,
            partial(bootstrap, statistic=standard_deviation),
            "test_loss",
            "sd over runs of the test loss, task 1",
            "How much the loss varies between runs that differ only in their seed",
        ),
        "correlation": partial(
            against_correlation,
            series,
            runs,
            bootstrap,
            "final_loss",
            "mean final loss, task 1",
            "What task correlation does to the loss",
        ),
    }
    if of_ranges := ranges(cells):
        figures["trainability"] = partial(_trainability, of_ranges, all_runs)
    with_gates = [one for one in series if len(gates) and gates["cell"].isin(one.cells.values()).any()]
    if with_gates:
        figures["gates"] = partial(_gates, with_gates, runs, gates)
    return save(folder, figures)


def _curves(series: Sequence[Series], curves: pd.DataFrame, paper_loss: float) -> Figure:
    correlations = correlations_of(series)
    figure = Figure(figsize=(max(6.5, 3.2 * len(correlations) + 0.8), 4.2))
    panels = figure.subplots(1, len(correlations), sharex=True, sharey=True, squeeze=False)[0]
    for axes, correlation in zip(panels, correlations, strict=True):
        for one in series:
            mine = curves[curves["cell"] == one.cells.get(correlation)]
            if mine.empty:
                continue
            by_step = mine.groupby("step")["loss"]
            mean, low, high = by_step.mean(), by_step.quantile(0.1), by_step.quantile(0.9)
            axes.plot(mean.index, mean, color=one.color, linestyle=one.line, label=one.label)
            axes.fill_between(mean.index, low, high, color=one.color, alpha=0.15, linewidth=0)
        for figure_of_paper, model in dict.fromkeys((one.paper_figure, one.model) for one in series):
            of_paper = paper.mean_curve(figure_of_paper, model, correlation, paper_loss)
            if not of_paper.empty:
                label = f"{NAMES[model]}, {paper.legend(figure_of_paper, paper_loss)}"
                axes.plot(of_paper["step"], of_paper["mean_loss"], "--", color=COLORS[model], lw=1, label=label)
        axes.set_title(f"task correlation {correlation:g}")
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        plain_log(axes)
    panels[0].set_ylabel("training loss of task 1 (log scale)")
    figure.suptitle("Mean loss over runs; the band holds the middle 80 % of them")
    if not curves.empty:
        panels[0].set_xlim(0, 1.02 * max(curves["step"].max(), 1))
    legend_below(figure)
    return figure


def _histograms(series: Sequence[Series], runs: pd.DataFrame, paper_loss: float, down: bool) -> Figure:
    """A panel per series and correlation; the series next to one another, or one below the other."""
    correlations = correlations_of(series)
    shape = (len(series), len(correlations)) if down else (len(correlations), len(series))
    height = 0.9 if down else 1.7
    figure = Figure(figsize=(max(6.5, 2.6 * shape[1] + 1.2), height * shape[0] + 1.5))
    panels = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False)
    edges, like_paper = histogram_bins(runs["final_loss"].to_numpy(float), paper_loss)
    for row, correlation in zip(panels.T if down else panels, correlations, strict=True):
        for axes, one in zip(row, series, strict=True):
            sample = runs.loc[runs["cell"] == one.cells.get(correlation), "final_loss"].to_numpy(float)
            if sample.size:
                heights, _ = np.histogram(np.clip(sample, edges[0], edges[-1]), edges)
                label = None if down else f"{one.label}, here"
                axes.stairs(heights / sample.size, edges, fill=True, color=one.color, alpha=0.7, label=label)
            bins, shares = paper.histogram(one.paper_figure, one.model, correlation, paper_loss)
            if like_paper and shares.size:
                label = paper.legend("figure5", paper_loss)
                axes.stairs(shares, bins, color="black", lw=1, ls="--", label=label)
            axes.set_xlim(edges[0], edges[-1])
    of_series, of_correlations = [one.label for one in series], [f"task correlation {p:g}" for p in correlations]
    for axes, title in zip(panels[0], of_correlations if down else of_series, strict=True):
        axes.set_title(title)
    for axes in panels[-1]:
        axes.set_xlabel("final loss of task 1")
    for axes, label in zip(panels[:, 0], of_series if down else of_correlations, strict=True):
        if down:
            axes.set_ylabel(label, rotation=0, ha="right", va="center")
        else:
            axes.set_ylabel(f"{label.removeprefix('task ')}\nshare of runs")
    figure.suptitle("Final losses of the runs" + (" (bars: share of runs)" if down else ""))
    legend_below(figure)
    return figure


def _against_correlation(
    series: Sequence[Series],
    runs: pd.DataFrame,
    estimate: Callable[[np.ndarray], Estimate],
    column: str,
    label: str,
    title: str,
) -> Figure:
    figure = Figure(figsize=(5.2, 3.8))
    axes = figure.subplots()
    _lines(axes, series, runs, estimate, column)
    if not any(np.isfinite(line.get_ydata()).any() for line in axes.get_lines()):
        axes.text(0.5, 0.5, "needs two runs or more", transform=axes.transAxes, ha="center")
    axes.set_ylabel(label)
    axes.set_title(f"{title}\n(bars: 95 % bootstrap interval)", fontsize=9)
    legend_below(figure)
    return figure


def _lines(
    axes: Axes,
    series: Sequence[Series],
    runs: pd.DataFrame,
    estimate: Callable[[np.ndarray], Estimate],
    column: str,
) -> None:
    """A line per series over the correlations, with intervals."""
    correlations = correlations_of(series)
    gaps = np.diff(correlations)
    nudge = 0.03 * (gaps.min() if gaps.size else 1.0)  # so that intervals do not cover one another
    for position, one in enumerate(series):
        points = {
            correlation: estimate(runs.loc[runs["cell"] == cell, column].to_numpy(float))
            for correlation, cell in one.cells.items()
        }
        x = np.array(list(points)) + nudge * (position - (len(series) - 1) / 2)
        values, low, high = np.array(list(points.values())).T
        axes.errorbar(
            x,
            values,
            yerr=np.nan_to_num([values - low, high - values]).clip(0),
            color=one.color,
            marker=one.marker,
            linestyle=one.line,
            capsize=3,
            label=one.label,
        )
    axes.set_xticks(correlations, [f"{correlation:g}" for correlation in correlations])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("task correlation")


def _trainability(of_ranges: Mapping[tuple[Any, ...], Sequence[SweptCell]], runs: pd.DataFrame) -> Figure:
    """What share of all runs over a range of settings comes how near to the model's best setting."""
    panels_of = list(dict.fromkeys((law, p) for _, law, p in of_ranges))
    models = list(dict.fromkeys(model for model, _, _ in of_ranges))
    figure = Figure(figsize=(max(4.5, 3.4 * len(panels_of) + 0.8), 3.8))
    panels = figure.subplots(1, len(panels_of), sharey=True, squeeze=False)[0]
    for (model, law, p), of_range in of_ranges.items():
        of_model, axes = profile(of_range, runs), panels[panels_of.index((law, p))]
        color, label = color_of(model, models), NAMES.get(model, model)
        axes.step(of_model.ratios, of_model.shares, where="post", color=color, label=label)
    for axes, (law, p) in zip(panels, panels_of, strict=True):
        axes.axvline(NEAR, color="black", ls="--", lw=1, label=f"{NEAR:g} times the best")
        axes.set_xscale("log")
        axes.set_xlim(0.5, 10)
        axes.set_xticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
        axes.minorticks_off()
        axes.set_title(
            f"{law}, task correlation {p:g}" if len({of[0] for of in panels_of}) > 1 else f"task correlation {p:g}"
        )
        axes.set_xlabel("final loss by the mean of the model's best setting")
    panels[0].set_ylabel("share of the runs of all settings")
    figure.suptitle(f"How many runs over {len(next(iter(of_ranges.values())))} settings come near the model's best")
    legend_below(figure)
    return figure


def _curves_by_series(series: Sequence[Series], curves: pd.DataFrame) -> Figure:
    """A panel per series, with a line per correlation."""
    correlations = correlations_of(series)
    shades = shades_of(correlations)
    columns = 4
    rows = -(-len(series) // columns)
    figure = Figure(figsize=(11.5, 2.2 * rows + 1.2))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, one in zip(panels.flat, series, strict=False):
        for correlation, cell in one.cells.items():
            mean = curves[curves["cell"] == cell].groupby("step")["loss"].mean()
            label = f"task correlation {correlation:g}"
            axes.plot(mean.index, mean, color=shades[correlation], lw=1.2, label=label)
        axes.set_title(one.label)
        plain_log(axes)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    for axes in list(panels.flat)[len(series) :]:
        axes.set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("step")
    for axes in panels[:, 0]:
        axes.set_ylabel("training loss")
    figure.suptitle("Mean training loss of task 1 over runs (log scale)")
    legend_below(figure)
    return figure


def _rows(
    series: Sequence[Series],
    runs: pd.DataFrame,
    estimate: Callable[[np.ndarray], Estimate],
    column: str,
    label: str,
    title: str,
) -> Figure:
    """A row per series with a point per correlation, the lowest at the least correlation on top."""
    correlations = correlations_of(series)
    shades = shades_of(correlations)
    found = {
        one.label: {
            p: estimate(runs.loc[runs["cell"] == cell, column].to_numpy(float)) for p, cell in one.cells.items()
        }
        for one in series
    }
    order = sorted(found, key=lambda label: -next(iter(found[label].values())).value)
    figure = Figure(figsize=(7.5, 0.36 * len(series) + 1.8))
    axes = figure.subplots()
    for position, p in enumerate(correlations):
        with_p = [name for name in order if p in found[name]]
        points = [found[name][p] for name in with_p]
        values, low, high = np.array([(one.value, one.low, one.high) for one in points]).T
        axes.errorbar(
            values,
            [order.index(name) + 0.16 * ((len(correlations) - 1) / 2 - position) for name in with_p],
            xerr=np.nan_to_num([values - low, high - values]).clip(0),
            color=shades[p],
            marker=MARKERS[position % len(MARKERS)],
            markersize=4,
            linestyle="",
            capsize=2,
            label=f"task correlation {p:g}",
        )
    axes.set_yticks(range(len(order)), order)
    axes.set_xlim(left=0)
    axes.set_xlabel(label)
    axes.set_title(f"{title}\n(bars: 95 % bootstrap interval)", fontsize=9)
    legend_below(figure)
    return figure


def _gates(series: Sequence[Series], runs: pd.DataFrame, gates: pd.DataFrame) -> Figure:
    """How far apart the tasks' gates are, how many experts they use, and how evenly, at each correlation."""
    correlations = correlations_of(series)
    figure = Figure(figsize=(10, 6.8))
    grid = figure.add_gridspec(2, 1)
    above, below = grid[0].subgridspec(1, 3), grid[1].subgridspec(1, len(correlations))
    measures = {
        "gate_divergence": "divergence of the tasks' gates (bits)",
        "experts_used": "experts used by task 1",
        "gate_entropy": "entropy of its gate for an example (bits)",
    }
    for column, (measure, label) in enumerate(measures.items()):
        axes = figure.add_subplot(above[column])
        _lines(axes, series, runs, bootstrap, measure)
        axes.set_ylabel(label)
    first: Axes | None = None
    for column, correlation in enumerate(correlations):
        axes = figure.add_subplot(below[column], sharex=first, sharey=first)
        for one in series:
            mine = gates[gates["cell"] == one.cells.get(correlation)]
            ranked = mine.assign(rank=mine.groupby("seed")["weight"].rank(method="first", ascending=False))
            mean = ranked.groupby("rank")["weight"].mean()
            axes.plot(mean.index, mean, color=one.color, marker=one.marker, linestyle=one.line, label=one.label)
        axes.set_title(f"task correlation {correlation:g}")
        axes.set_xlabel("task 1's experts, most used first")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(bottom=0)
        if first is None:
            axes.set_ylabel("mean gate weight")
            first = axes
    figure.suptitle("How the gates share the experts between the tasks, on test examples (bars: 95 % interval)")
    legend_below(figure)
    return figure
