"""The charts of a sweep's page: what its claims, losses, curves and stuck runs look like."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from mmoe_repro import paper
from mmoe_repro.claims import Comparison
from mmoe_repro.names import NAMES
from mmoe_repro.plots import COLORS, Series, color_of, correlations_of, histogram_bins
from mmoe_repro.report.charts import Axis, Chart, Panel
from mmoe_repro.results import SweptCell
from mmoe_repro.statistics import Estimate
from mmoe_repro.trainability import NEAR, Profile, profile, ranges

#: Colours of runs by how many of their tower's units are alive; the last stands for more, too.
LIVE = {0: "#D55E00", 1: "#E69F00", 2: "#56B4E9", 3: "#0072B2"}
#: Of a forest's row, and of its panel beside the rows.
_ROW, _FRAME = 22, 70


def _legend(series: Sequence[Series]) -> list[tuple[str, str, str]]:
    return [(one.label, one.color, f"line {_dash(one)}") for one in series]


def _dash(one: Series) -> str:
    """A kind of line of matplotlib's, for an SVG."""
    return " ".join(str(3 * length) for length in one.line[1]) if isinstance(one.line, tuple) else ""


def _title(correlation: float | None) -> str:
    return "all runs" if correlation is None or np.isnan(correlation) else f"task correlation {correlation:g}"


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
    places = {p: 0.0 if np.isnan(p) else p for p in correlations}  # a law may have no correlation
    pad = 0.06 * (np.ptp(list(places.values())) or 1.0)
    panels, seen = [], []
    for label, column, estimate in measures:
        of_series = {
            one.label: {p: estimate(runs.loc[runs["cell"] == cell, column].to_numpy(float))
                        for p, cell in one.cells.items()}
            for one in series
        }  # fmt: skip
        tops = [value for by in of_series.values() for found in by.values() for value in found if np.isfinite(value)]
        ends = (min(places.values()) - pad, max(places.values()) + pad)
        x = Axis("task correlation", *ends, at=tuple(p for p in correlations if np.isfinite(p)) or (np.inf,))
        panel = Panel(label, x, Axis("loss of task 1", 0.0, 1.05 * max(tops, default=1.0)))
        for position, one in enumerate(series):
            nudge = pad * 0.12 * (position - (len(series) - 1) / 2)
            points = of_series[one.label]
            values = [found.value for found in points.values()]
            panel.line(np.array([places[p] for p in points]) + nudge, values, one.color, _dash(one))
            for p, found in points.items():
                at = places[p] + nudge
                panel.interval((at, found.low), (at, found.high), one.color)
                panel.point(at, found.value, one.color)
                told = f"{found.value:.4f} (95 %: {found.low:.4f} – {found.high:.4f})"
                panel.tip(at, found.value, f"{one.label}, {_title(p)}\n{told}")
                if np.isfinite(found.value):
                    seen.append(f"{one.label} at {p:g} {found.value:.3f}")
        panels.append(panel)
    caption = "Bars are 95 % bootstrap intervals over runs, which share their seeds between models."
    return Chart(caption, "; ".join(seen), panels, _legend(series))


def curves(series: Sequence[Series], losses: pd.DataFrame, paper_loss: float) -> Chart | None:
    """Mean loss of every series against the step, a panel per correlation, with the paper's Figure 3 or 4.

    Args:
        series: what to show.
        losses: `curves.parquet`; with no rows there is no chart.
        paper_loss: how many squared errors a loss of the paper is.
    """
    cells = [cell for one in series for cell in one.cells.values()]
    if len(losses):
        losses = losses[(losses["task"] == 1) & losses["loss"].notna() & losses["cell"].isin(cells)]
    if not len(losses):
        return None
    grouped = losses.groupby(["cell", "step"])["loss"]
    stats = pd.DataFrame({"mean": grouped.mean(), "low": grouped.quantile(0.1), "high": grouped.quantile(0.9)})
    top, bottom = float(stats["high"].max()), float(stats["low"].min())
    x, y = Axis("step", 0, float(losses["step"].max()) or 1.0), Axis("training loss", bottom, top, log=True)
    panels, seen = [], []
    of_paper: dict[str, None] = {}  # the figures shown, in order
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
        for figure, model in dict.fromkeys((one.paper_figure, one.model) for one in series):
            theirs = paper.mean_curve(figure, model, p, paper_loss)
            theirs = theirs[theirs["step"] <= x.high]
            if len(theirs):
                of_paper[figure] = None
                panel.line(theirs["step"], theirs["mean_loss"], COLORS[model], "2 3")
                for step, value in zip(theirs["step"], theirs["mean_loss"], strict=True):
                    told.setdefault(float(step), []).append(f"{NAMES[model]} in the paper {value:.3f}")
        for step, lines in told.items():
            panel.tip(step, np.sqrt(top * bottom), "\n".join([f"step {step:,.0f}", *lines]))
        panels.append(panel)
    legend = _legend(series)
    legend += [(f"the {paper.legend(figure, paper_loss)}", "#7F7F7F", "line 2 3") for figure in of_paper]
    caption = "Mean training loss of task 1 over runs, on a logarithmic scale; the band holds the middle 80 % of them."
    return Chart(caption, "; ".join(seen), panels, legend)


def profiles(cells: Sequence[SweptCell], runs: pd.DataFrame) -> Chart | None:
    """What share of all runs over a range of settings comes how near to the best setting; None without a range.

    Args:
        cells: of the sweep.
        runs: `runs.parquet`.
    """
    of_models: dict[tuple[str, float], dict[str, Profile]] = {}
    runs = runs[runs["task"] == 1]
    for (model, law, p), of_range in ranges(cells).items():
        of_models.setdefault((law, p), {})[model] = profile(of_range, runs)
    panels, seen = [], []
    models = list(dict.fromkeys(model for by_model in of_models.values() for model in by_model))
    colors = {model: color_of(model, models) for model in models}
    x, y = Axis("loss by the best setting's mean", 0.5, 10, log=True), Axis("share of runs", 0, 1.02)
    factors = np.geomspace(x.low, x.high, 60)
    for (law, p), by_model in of_models.items():
        panel = Panel(f"{law}, {_title(p)}", x, y)
        panel.upright(NEAR)
        shares = {model: of_model.within(factors) for model, of_model in by_model.items()}
        for model, share in shares.items():
            panel.line(factors, share, colors[model])
            near = by_model[model].within(NEAR)
            seen.append(f"{NAMES.get(model, model)} at {p:g}: {near:.0%} of runs near its best")
        for i, factor in enumerate(factors):
            told = [f"{NAMES.get(model, model)} {share[i]:.0%}" for model, share in shares.items()]
            panel.tip(factor, 0.5, "\n".join([f"at most {factor:.2f} times the best", *told]))
        panels.append(panel)
    legend = [(NAMES.get(model, model), colors[model], "line ") for model in models]
    caption = "Runs of all settings tried, each model's by the lowest mean of its own settings at this correlation."
    return Chart(caption, "; ".join(seen), panels, legend) if panels else None


def histograms(series: Sequence[Series], runs: pd.DataFrame, paper_loss: float) -> Chart:
    """Final losses of every series and correlation, coloured by live tower units, with the paper's Figure 5.

    Args:
        series: what to show.
        runs: `runs.parquet`, of one task, with `live_units`.
        paper_loss: how many squared errors a loss of the paper is.
    """
    edges, like_paper = histogram_bins(runs["final_loss"].to_numpy(float), paper_loss)
    panels, seen, of_paper = [], [], False
    for one in series:
        for p, cell in one.cells.items():
            mine = runs[runs["cell"] == cell]
            their_edges, theirs = paper.histogram(one.paper_figure, one.model, p, paper_loss)
            heights = _by_live_units(mine, edges)
            total = np.sum(list(heights.values()), axis=0)
            tallest = max(total.max(initial=0.01), theirs.max(initial=0.0) if like_paper else 0.0)
            x, y = Axis("final loss", 0, edges[-1]), Axis("share of runs", 0, 1.05 * tallest)
            panel = Panel(f"{one.label}, {_title(p)}", x, y)
            bottom = np.zeros(len(edges) - 1)
            for live, height in heights.items():
                panel.bars(edges, bottom, bottom + height, LIVE.get(live, one.color))
                bottom = bottom + height
            if like_paper and theirs.size:
                of_paper = True
                panel.outline(their_edges, theirs)
            for i in np.flatnonzero(total):
                split = [f"{_live(live)}: {height[i]:.1%}" for live, height in heights.items() if live >= 0 < height[i]]
                told = [f"loss {edges[i]:.3f} to {edges[i + 1]:.3f}: {total[i]:.1%} of runs", *split]
                panel.tip((edges[i] + edges[i + 1]) / 2, total[i], "\n".join(told))
            panels.append(panel)
            if len(mine):
                seen.append(f"{one.label} at {p:g}: median {mine['final_loss'].median():.3f}")
    legend = [(_live(live), color, "bar") for live, color in LIVE.items()]
    legend += [(f"the {paper.legend('figure5', paper_loss)}", "#7F7F7F", "outline")] if of_paper else []
    caption = "Final losses of task 1. A unit is alive unless it is 0 on all 10,000 test examples."
    return Chart(caption, "; ".join(seen), panels, legend)


def _live(live: int) -> str:
    return f"{live}{' or more' if live == max(LIVE) else ''} live unit{'' if live == 1 else 's'}"


def _by_live_units(runs: pd.DataFrame, edges: np.ndarray) -> dict[int, np.ndarray]:
    """Shares of runs by bin, for each number of live units; −1 for models whose units are not known."""
    live = runs["live_units"].clip(upper=max(LIVE)).fillna(-1)
    losses = np.clip(runs["final_loss"].to_numpy(float), edges[0], edges[-1])
    return {
        number: np.histogram(losses[live == number], edges)[0] / max(len(runs), 1)
        for number in (*LIVE, -1)
        if (live == number).any()
    }


def by_live_units(series: Sequence[Series], runs: pd.DataFrame) -> Chart | None:
    """Mean final loss against the number of live tower units, a panel per correlation; None where it is not known.

    Args:
        series: what to show.
        runs: `runs.parquet`, of one task, with `live_units`.
    """
    runs = runs[runs["live_units"].notna()]
    if runs.empty:
        return None
    groups = runs.groupby(["cell", "live_units"])["final_loss"]
    table = groups.agg(["mean", "size"]).assign(low=groups.quantile(0.1), high=groups.quantile(0.9))
    x = Axis("live units of the tower", -0.4, float(runs["live_units"].max()) + 0.4)
    y = Axis("final loss of task 1", 0, 1.05 * float(table["high"].max()))
    panels, seen = [], []
    for p in correlations_of(series):
        panel = Panel(_title(p), x, y)
        for position, one in enumerate(series):
            if (cell := one.cells.get(p)) not in table.index.get_level_values("cell"):
                continue
            nudge = 0.12 * (position - (len(series) - 1) / 2) / max(len(series) / 3, 1)
            mine = table.loc[cell]
            panel.line(mine.index + nudge, mine["mean"], one.color, _dash(one))
            for live, row in mine.iterrows():
                at = float(str(live)) + nudge
                panel.interval((at, row["low"]), (at, row["high"]), one.color)
                panel.point(at, row["mean"], one.color)
                told = f"{one.label}, {live:g} live units\n{row['size']:.0f} runs, mean loss {row['mean']:.4f}"
                panel.tip(at, row["mean"], f"{told}\nmiddle 80 %: {row['low']:.4f} – {row['high']:.4f}")
                seen.append(f"{one.label} at {p:g} with {live:g} live units {row['mean']:.3f}")
        panels.append(panel)
    caption = "Mean over runs with so many live units; the bar holds the middle 80 % of them."
    return Chart(caption, "; ".join(seen), panels, _legend(series))


def live_units_over_training(cells: Sequence[SweptCell], runs: pd.DataFrame) -> Chart | None:
    """Mean number of live tower units after so many steps; None unless `training.steps` was swept, and nothing else.

    Args:
        cells: of the sweep.
        runs: `runs.parquet`, of one task, with `live_units`.
    """
    several = any(len({cell.keys[key] for cell in cells}) > 1 for key in ("data", "learning_rate"))
    if several or any(list(cell.swept) != ["training.steps"] for cell in cells) or runs["live_units"].isna().all():
        return None
    means = runs.groupby("cell")["live_units"].agg(["mean", "std", "size"])
    models = list(dict.fromkeys(cell.cell.model for cell in cells))
    steps = sorted({cell.swept["training.steps"] for cell in cells})
    x = Axis("step", 0.8 * steps[0], 1.25 * steps[-1], log=True)
    y = Axis("live units of the tower", 0, 1.05 * float(means["mean"].max()))
    panels, seen = [], []
    for p in dict.fromkeys(cell.keys["correlation"] for cell in cells):
        panel = Panel(_title(p), x, y)
        for model in models:
            of_model = [cell for cell in cells if cell.cell.model == model and cell.keys["correlation"] == p]
            of_model.sort(key=lambda cell: cell.swept["training.steps"])
            at = [cell.swept["training.steps"] for cell in of_model]
            mine = means.reindex([cell.cell.identity for cell in of_model])
            color, name = color_of(model, models), NAMES.get(model, model)
            panel.line(at, mine["mean"], color)
            for step, mean, sd, size in zip(at, mine["mean"], mine["std"], mine["size"], strict=True):
                half = 1.96 * sd / np.sqrt(size)
                panel.interval((step, mean - half), (step, mean + half), color)
                panel.point(step, mean, color)
                panel.tip(step, mean, f"{name} after {step:,} steps\n{mean:.2f} live units (±{half:.2f})")
            seen.append(f"{name}, {_title(p)}, from {mine['mean'].iloc[0]:.1f} to {mine['mean'].iloc[-1]:.1f}")
        panels.append(panel)
    legend = [(NAMES.get(model, model), color_of(model, models), "line ") for model in models]
    caption = "Mean over runs, after trainings of so many steps, of which a shorter is the beginning of a longer one."
    return Chart(caption, "; ".join(seen), panels, legend)
