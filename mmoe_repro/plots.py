"""The figures, each as PNG and SVG, each to be understood without the text."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from mmoe_repro import paper
from mmoe_repro.results import SweptCell
from mmoe_repro.statistics import Estimate, bootstrap, standard_deviation
from mmoe_repro.store import write_atomically

#: Okabe and Ito's colour-blind-safe palette; the paper's models keep their colours in every figure.
_COLORS = {"shared_bottom": "#D55E00", "omoe": "#0072B2", "mmoe": "#009E73"}
_OTHER_COLORS = ("#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
_NAMES = {"shared_bottom": "Shared-Bottom", "omoe": "OMoE", "mmoe": "MMoE"}
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
_LINES = ("-", (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (5, 1)))

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 150,
    "font.size": 9,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "mmoe-repro",  # so that the same figure is the same file
}


@dataclass(frozen=True)
class Series:
    """What one line of a figure shows: a model at one setting, over the correlations.

    Attributes:
        label: for the legend.
        model: the choice of the `model` group.
        cells: identities by correlation.
        color, marker, line: how it is drawn.
    """

    label: str
    model: str
    cells: dict[float, str]
    color: str
    marker: str
    line: object


def series_of(cells: Sequence[SweptCell], chosen: dict[str, bool | None]) -> list[Series]:
    """Sort the cells into series. Of several learning rates the chosen ones are shown, or all if none was chosen."""
    shown = [cell for cell in cells if chosen[cell.cell.identity] is not False]
    undecided = any(chosen[cell.cell.identity] is None for cell in shown)
    apart = list(cells[0].swept) + (["learning_rate"] if undecided else [])
    if len({cell.cell.data for cell in shown}) > 1:
        apart.append("data")
    groups: dict[tuple[str, ...], dict[float, str]] = {}
    for cell in shown:
        name = (
            cell.cell.model,
            *(f"{key.split('.')[-1].replace('_', ' ')} {cell.keys[key]}" for key in apart),
        )
        correlation = cell.keys["correlation"]
        groups.setdefault(name, {})[np.nan if correlation is None else correlation] = cell.cell.identity
    models = list(dict.fromkeys(name[0] for name in groups))
    others = [model for model in models if model not in _COLORS]
    variants = {model: [name for name in groups if name[0] == model] for model in models}
    return [
        Series(
            label=", ".join([_NAMES.get(name[0], name[0]), *name[1:]]),
            model=name[0],
            cells=dict(sorted(by_correlation.items())),
            color=_COLORS.get(name[0]) or _OTHER_COLORS[others.index(name[0]) % len(_OTHER_COLORS)],
            marker=_MARKERS[(models.index(name[0]) + variants[name[0]].index(name)) % len(_MARKERS)],
            line=_LINES[variants[name[0]].index(name) % len(_LINES)],
        )
        for name, by_correlation in groups.items()
    ]


def draw(folder: Path, series: Sequence[Series], runs: pd.DataFrame, curves: pd.DataFrame) -> list[Path]:
    """Draw all figures of a sweep.

    Args:
        folder: where they go.
        series: what to show.
        runs: `runs.parquet`.
        curves: `curves.parquet`.

    Returns:
        the PNG files.
    """
    runs, curves = (table[table["task"] == 1] for table in (runs, curves))
    runs = runs[~runs["diverged"]]
    curves = curves[curves["loss"].notna()]
    figures: dict[str, Callable[[], Figure]] = {
        "curves": lambda: _curves(series, curves),
        "histograms": lambda: _histograms(series, runs),
        "spread": lambda: _against_correlation(
            series,
            runs,
            lambda sample: bootstrap(sample, standard_deviation),
            "test_loss",
            "sd over runs of the test loss, task 1",
            "How much the loss varies between runs that differ only in their seed",
        ),
        "correlation": lambda: _against_correlation(
            series,
            runs,
            bootstrap,
            "final_loss",
            "mean final loss, task 1",
            "What task correlation does to the loss",
        ),
    }
    return save(folder, figures)


def save(folder: Path, figures: Mapping[str, Callable[[], Figure]]) -> list[Path]:
    """Draw figures in the program's style and write each as PNG and SVG; return the PNG files."""
    paths = []
    with matplotlib.rc_context(_STYLE):
        for name, make in figures.items():
            figure = make()
            for ending in (".svg", ".png"):
                buffer = io.BytesIO()
                figure.savefig(buffer, format=ending[1:], metadata={"Date": None} if ending == ".svg" else None)
                write_atomically(folder / (name + ending), buffer.getvalue())
            paths.append(folder / f"{name}.png")
    return paths


def _correlations(series: Sequence[Series]) -> list[float]:
    return sorted({correlation for one in series for correlation in one.cells})


def plain_log(axes: Axes) -> None:
    """A logarithmic loss axis with plain numbers."""
    axes.set_yscale("log")
    for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatter = ScalarFormatter()
        formatter.set_scientific(False)
        which(formatter)
    axes.yaxis.set_tick_params(which="both", labelsize=8)


def _legend_below(figure: Figure) -> None:
    """One legend for all panels, in as many columns as the figure is wide."""
    found = [axes.get_legend_handles_labels() for axes in figure.axes]
    unique = {label: handle for handles, labels in found for handle, label in zip(handles, labels, strict=True)}
    if unique:
        columns = max(1, int(figure.get_figwidth() / 2.2))
        figure.legend(list(unique.values()), list(unique), loc="outside lower center", ncols=columns, fontsize=8)


def _curves(series: Sequence[Series], curves: pd.DataFrame) -> Figure:
    correlations = _correlations(series)
    figure = Figure(figsize=(max(6.5, 3.2 * len(correlations) + 0.8), 4.2))
    panels = figure.subplots(1, len(correlations), sharex=True, sharey=True, squeeze=False)[0]
    published = paper.table("figure4")
    for axes, correlation in zip(panels, correlations, strict=True):
        for one in series:
            mine = curves[curves["cell"] == one.cells.get(correlation)]
            if mine.empty:
                continue
            by_step = mine.groupby("step")["loss"]
            mean, low, high = by_step.mean(), by_step.quantile(0.1), by_step.quantile(0.9)
            axes.plot(mean.index, mean, color=one.color, linestyle=one.line, label=one.label)
            axes.fill_between(mean.index, low, high, color=one.color, alpha=0.15, linewidth=0)
        for model in dict.fromkeys(one.model for one in series):
            of_paper = published[(published["correlation"] == correlation) & (published["model"] == model)]
            if not of_paper.empty:
                label = f"{_NAMES[model]}, paper's Figure 4"
                axes.plot(of_paper["step"], of_paper["mean_loss"], "--", color=_COLORS[model], lw=1, label=label)
        axes.set_title(f"task correlation {correlation:g}")
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        plain_log(axes)
    panels[0].set_ylabel("training loss of task 1 (log scale)")
    figure.suptitle("Mean loss over runs; the band holds the middle 80 % of them")
    if not curves.empty:
        panels[0].set_xlim(0, 1.02 * max(curves["step"].max(), 1))
    _legend_below(figure)
    return figure


def _histograms(series: Sequence[Series], runs: pd.DataFrame) -> Figure:
    correlations = _correlations(series)
    figure = Figure(figsize=(max(6.5, 2.6 * len(series) + 1.2), 1.7 * len(correlations) + 1.5))
    panels = figure.subplots(len(correlations), len(series), sharex=True, sharey=True, squeeze=False)
    published = paper.table("figure5")
    losses = runs["final_loss"].to_numpy(float)
    # The paper's bins, unless this law's losses lie elsewhere.
    top = float(np.quantile(losses, 0.995)) if losses.size else 1.0
    like_paper = 0.1 <= top <= 1.5
    edges = np.arange(0, max(top, 0.64) + 1 / 30, 1 / 30) if like_paper else np.linspace(0, top, 25)
    for row, correlation in zip(panels, correlations, strict=True):
        for axes, one in zip(row, series, strict=True):
            sample = runs.loc[runs["cell"] == one.cells.get(correlation), "final_loss"].to_numpy(float)
            if sample.size:
                heights, _ = np.histogram(np.clip(sample, edges[0], edges[-1]), edges)
                axes.stairs(
                    heights / sample.size, edges, fill=True, color=one.color, alpha=0.7, label=f"{one.label}, here"
                )
            of_paper = published[(published["correlation"] == correlation) & (published["model"] == one.model)]
            if like_paper and not of_paper.empty:
                bins = [*of_paper["bin_left"], of_paper["bin_right"].iloc[-1]]
                axes.stairs(of_paper["fraction"], bins, color="black", lw=1, ls="--", label="paper's Figure 5")
            axes.set_xlim(edges[0], edges[-1])
    for axes, one in zip(panels[0], series, strict=True):
        axes.set_title(one.label)
    for axes in panels[-1]:
        axes.set_xlabel("final loss of task 1")
    for row, correlation in zip(panels, correlations, strict=True):
        row[0].set_ylabel(f"correlation {correlation:g}\nshare of runs")
    figure.suptitle("Final losses of the runs")
    _legend_below(figure)
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
    correlations = _correlations(series)
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
    if not any(np.isfinite(line.get_ydata()).any() for line in axes.get_lines()):
        axes.text(0.5, 0.5, "needs two runs or more", transform=axes.transAxes, ha="center")
    axes.set_xlabel("task correlation")
    axes.set_ylabel(label)
    axes.set_title(f"{title}\n(bars: 95 % bootstrap interval)", fontsize=9)
    _legend_below(figure)
    return figure
