"""The charts of a sweep's page: what its claims, losses, curves and stuck runs look like."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmoe_repro import paper
from mmoe_repro.claims import Comparison
from mmoe_repro.names import NAMES
from mmoe_repro.plots import COLORS, Series, color_of, correlations_of
from mmoe_repro.report.charts import Axis, Chart, Panel
from mmoe_repro.results import SweptCell
from mmoe_repro.statistics import Estimate
from mmoe_repro.trainability import NEAR, ranges, relative

#: Colours of runs by the share of their tower's units that are dead, up to and including it.
DEAD = {0.0: ("none dead", "#0072B2"), 0.5: ("up to half", "#E69F00"), 0.999: ("more, not all", "#CC79A7")}
DEAD |= {1.0: ("all dead", "#D55E00")}
#: Of a forest's row, and of its panel beside the rows.
_ROW, _FRAME = 22, 70


def _legend(series: Sequence[Series]) -> list[tuple[str, str, str]]:
    return [(one.label, one.color, "line") for one in series]


def _dash(one: Series) -> str:
    """A kind of line of matplotlib's, for an SVG."""
    return " ".join(str(3 * length) for length in one.line[1]) if isinstance(one.line, tuple) else ""


def _title(correlation: float) -> str:
    return "all runs" if np.isnan(correlation) else f"task correlation {correlation:g}"


def forest(title: str, comparisons: Sequence[Comparison]) -> Chart:
    """Each part of a claim: its effect with its interval, and the bound beyond which it holds."""
    part = comparisons[0].part
    rows = len(comparisons)
    found = [[part.shown(value) for value in (one.measured.value, one.measured.low, one.measured.high)]
             for one in comparisons]  # fmt: skip
    bounds = [one.part.shown(one.part.bound) for one in comparisons]
    known = [value for row in found for value in row if np.isfinite(value)] + bounds
    low, high = min(known), max(known)
    pad = 1.08 if part.is_ratio else 0.08 * (high - low or 1.0)
    ends = (low / pad, high * pad) if part.is_ratio else (low - pad, high + pad)
    across = Axis("ratio" if part.is_ratio else "difference of losses", *ends, log=part.is_ratio)
    down = Axis("", -0.5, rows - 0.5, names=tuple(f"{rows - i}" for i in range(rows)))
    panel = Panel(title, across, down, height=_FRAME + _ROW * rows, left=30)
    for row, (one, (value, lowest, highest), bound) in enumerate(zip(comparisons, found, bounds, strict=True)):
        y = rows - 1 - row
        holds = one.measured.low > one.part.bound if one.part.above else one.measured.high < one.part.bound
        color = "#009E73" if holds else "#D55E00" if _fails(one) else "#7F7F7F"
        panel.upright(bound, (y - 0.4, y + 0.4))
        panel.interval((lowest, y), (highest, y), color)
        panel.point(value, y, color)
        side = "above" if one.part.above else "below"
        text = f"{value:.3g} (95 %: {lowest:.3g} – {highest:.3g})\nholds {side} {bound:.3g}"
        panel.tip(value, y, f"{one.part.label}\n{text}")
    return Chart(
        "",
        "; ".join(
            f"{one.part.label}: {row[0]:.3g}"
            for one, row in zip(comparisons, found, strict=True)
            if np.isfinite(row[0])
        ),
        [panel],
    )


def _fails(one: Comparison) -> bool:
    return bool(one.measured.high < one.part.bound if one.part.above else one.measured.low > one.part.bound)


def against_correlation(
    series: Sequence[Series], runs: pd.DataFrame, measures: Sequence[tuple[str, str, Callable[[np.ndarray], Estimate]]]
) -> Chart:
    """A panel per measure, a line per series over the correlations.

    Args:
        series: what to show.
        runs: `runs.parquet`, of one task.
        measures: label, column and estimate of each panel.
    """
    correlations = correlations_of(series)
    pad = 0.06 * (np.ptp(correlations) or 1.0)
    panels, seen = [], []
    for label, column, estimate in measures:
        of_series = {
            one.label: {p: estimate(runs.loc[runs["cell"] == cell, column].to_numpy(float))
                        for p, cell in one.cells.items()}
            for one in series
        }  # fmt: skip
        tops = [value for by in of_series.values() for found in by.values() for value in found if np.isfinite(value)]
        ends = (min(correlations) - pad, max(correlations) + pad)
        x = Axis("task correlation", *ends, at=tuple(correlations))
        panel = Panel(label, x, Axis("loss of task 1", 0.0, 1.05 * max(tops, default=1.0)))
        for position, one in enumerate(series):
            nudge = pad * 0.12 * (position - (len(series) - 1) / 2)
            points = of_series[one.label]
            values = [found.value for found in points.values()]
            panel.line(np.array(list(points)) + nudge, values, one.color, _dash(one))
            for p, found in points.items():
                panel.interval((p + nudge, found.low), (p + nudge, found.high), one.color)
                panel.point(p + nudge, found.value, one.color)
                told = f"{found.value:.4f} (95 %: {found.low:.4f} – {found.high:.4f})"
                panel.tip(p + nudge, found.value, f"{one.label}, {_title(p)}\n{told}")
                seen.append(f"{one.label} at {p:g} {found.value:.3f}")
        panels.append(panel)
    caption = "Bars are 95 % bootstrap intervals over runs, which share their seeds between models."
    return Chart(caption, "; ".join(seen), panels, _legend(series))


def curves(series: Sequence[Series], losses: pd.DataFrame) -> Chart | None:
    """Mean loss of every series against the step, a panel per correlation, with the paper's Figure 4.

    Args:
        series: what to show.
        losses: `curves.parquet`; with no rows there is no chart.
    """
    cells = [cell for one in series for cell in one.cells.values()]
    if len(losses):
        losses = losses[(losses["task"] == 1) & losses["loss"].notna() & losses["cell"].isin(cells)]
    if not len(losses):
        return None
    published = paper.table("figure4")
    grouped = losses.groupby(["cell", "step"])["loss"]
    stats = pd.DataFrame({"mean": grouped.mean(), "low": grouped.quantile(0.1), "high": grouped.quantile(0.9)})
    top, bottom = float(stats["high"].max()), float(stats["low"].min())
    x, y = Axis("step", 0, float(losses["step"].max()) or 1.0), Axis("training loss", bottom, top, log=True)
    panels, seen, of_paper = [], [], False
    for p in correlations_of(series):
        panel = Panel(_title(p), x, y)
        told: dict[float, list[str]] = {}
        for one in series:
            if (cell := one.cells.get(p)) not in stats.index.get_level_values("cell"):
                continue
            mine = stats.loc[cell]
            panel.band(mine.index, mine["low"], mine["high"], one.color)
            panel.line(mine.index, mine["mean"], one.color, _dash(one))
            for step, value in zip(mine.index, mine["mean"], strict=True):
                told.setdefault(float(step), []).append(f"{one.label} {value:.4f}")
            seen.append(f"{one.label} at {p:g} ends at {mine['mean'].iloc[-1]:.3f}")
        for model in dict.fromkeys(one.model for one in series):
            theirs = published[(published["correlation"] == p) & (published["model"] == model)]
            theirs = theirs[theirs["step"] <= x.high]
            if len(theirs):
                of_paper = True
                panel.line(theirs["step"], theirs["mean_loss"], COLORS[model], "2 3")
                for step, value in zip(theirs["step"], theirs["mean_loss"], strict=True):
                    told.setdefault(float(step), []).append(f"{NAMES[model]} in the paper {value:.3f}")
        for step, lines in told.items():
            panel.tip(step, np.sqrt(top * bottom), "\n".join([f"step {step:,.0f}", *lines]))
        panels.append(panel)
    legend = [*_legend(series), *([("the paper's Figure 4", "#7F7F7F", "dashed")] if of_paper else [])]
    caption = "Mean training loss of task 1 over runs, on a logarithmic scale; the band holds the middle 80 % of them."
    return Chart(caption, "; ".join(seen), panels, legend)


def profiles(cells: Sequence[SweptCell], runs: pd.DataFrame) -> Chart | None:
    """What share of all runs over a range of settings comes how near to the best setting; None without a range.

    Args:
        cells: of the sweep.
        runs: `runs.parquet`.
    """
    of_models: dict[tuple[str, float], dict[str, np.ndarray]] = {}
    runs = runs[runs["task"] == 1]
    for (model, law, p), of_range in ranges(cells).items():
        of_models.setdefault((law, p), {})[model] = np.sort(relative(of_range, runs))
    panels, seen = [], []
    models = list(dict.fromkeys(model for by_model in of_models.values() for model in by_model))
    colors = {model: color_of(model, models) for model in models}
    x, y = Axis("loss by the best setting's mean", 0.5, 10, log=True), Axis("share of runs", 0, 1.02)
    factors = np.geomspace(x.low, x.high, 60)
    for (law, p), by_model in of_models.items():
        panel = Panel(f"{law}, {_title(p)}", x, y)
        panel.upright(NEAR)
        shares = {model: np.searchsorted(ratios, factors, "right") / len(ratios) for model, ratios in by_model.items()}
        for model, share in shares.items():
            panel.line(factors, share, colors[model])
            near = np.mean(by_model[model] <= NEAR)
            seen.append(f"{NAMES.get(model, model)} at {p:g}: {near:.0%} of runs near its best")
        for i, factor in enumerate(factors):
            told = [f"{NAMES.get(model, model)} {share[i]:.0%}" for model, share in shares.items()]
            panel.tip(factor, 0.5, "\n".join([f"at most {factor:.2f} times the best", *told]))
        panels.append(panel)
    legend = [(NAMES.get(model, model), colors[model], "line") for model in models]
    caption = "Runs of all settings tried, each model's by the lowest mean of its own settings at this correlation."
    return Chart(caption, "; ".join(seen), panels, legend) if panels else None


def histograms(series: Sequence[Series], runs: pd.DataFrame) -> Chart:
    """Final losses of every series and correlation, coloured by dead tower units, with the paper's Figure 5.

    Args:
        series: what to show.
        runs: `runs.parquet`, of one task.
    """
    published = paper.table("figure5")
    finals = runs["final_loss"].to_numpy(float)
    top = float(np.quantile(finals, 0.995)) if finals.size else 1.0
    like_paper = 0.1 <= top <= 1.5
    edges = np.arange(0, max(top, 0.64) + 1 / 30, 1 / 30) if like_paper else np.linspace(0, top, 25)
    panels, seen, of_paper = [], [], False
    for one in series:
        for p, cell in one.cells.items():
            mine = runs[runs["cell"] == cell]
            theirs = published[(published["correlation"] == p) & (published["model"] == one.model)]
            heights, tallest = _by_dead_units(mine, edges), 0.0
            total = np.sum(list(heights.values()), axis=0)
            tallest = max(total.max(initial=0.01), theirs["fraction"].max() if like_paper and len(theirs) else 0.0)
            x, y = Axis("final loss", 0, edges[-1]), Axis("share of runs", 0, 1.05 * tallest)
            panel = Panel(f"{one.label}, {_title(p)}", x, y)
            bottom = np.zeros_like(total)
            for of_class, height in heights.items():
                panel.bars(edges, bottom, bottom + height, DEAD[of_class][1] if of_class in DEAD else one.color)
                bottom = bottom + height
            if like_paper and len(theirs):
                of_paper = True
                panel.outline(np.append(theirs["bin_left"], theirs["bin_right"].iloc[-1]), theirs["fraction"])
            for i in np.flatnonzero(total):
                split = [f"{DEAD[key][0]}: {height[i]:.1%}" for key, height in heights.items()
                         if key in DEAD and height[i]]  # fmt: skip
                told = [f"loss {edges[i]:.3f} to {edges[i + 1]:.3f}: {total[i]:.1%} of runs", *split]
                panel.tip((edges[i] + edges[i + 1]) / 2, total[i], "\n".join(told))
            panels.append(panel)
            seen.append(f"{one.label} at {p:g}: median {np.median(mine['final_loss']) if len(mine) else np.nan:.3f}")
    legend = [(f"tower units: {name}", color, "bar") for name, color in DEAD.values()]
    legend += [("the paper's Figure 5", "#7F7F7F", "outline")] if of_paper else []
    caption = "Final losses of task 1. Colours tell how many of the tower's units are 0 on every test example."
    return Chart(caption, "; ".join(seen), panels, legend)


def _by_dead_units(runs: pd.DataFrame, edges: np.ndarray) -> dict[Any, np.ndarray]:
    """Shares of runs by bin, for each class of dead units; NaN for models whose units are not known."""
    classes = runs["dead_units"].map(lambda share: next((key for key in DEAD if share <= key), np.nan))
    found = {}
    for of_class in [*DEAD, np.nan]:
        mine = runs[classes.isna() if of_class not in DEAD else classes == of_class]
        counts, _ = np.histogram(np.clip(mine["final_loss"].to_numpy(float), edges[0], edges[-1]), edges)
        if len(mine):
            found[of_class] = counts / max(len(runs), 1)
    return found
