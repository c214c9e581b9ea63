"""Each figure's data, once: what findings look like, for files and page alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mmoe_repro import paper
from mmoe_repro.findings.claim_comparisons import OPTIONAL, Comparison
from mmoe_repro.findings.gates import MEASURES
from mmoe_repro.findings.sweep_findings import Findings
from mmoe_repro.findings.trainability import NEAR, profile, ranges
from mmoe_repro.names import name_of
from mmoe_repro.runs.results import SweptCell
from mmoe_repro.views.bins import histogram_bins
from mmoe_repro.views.panels import (
    Axis,
    Bars,
    Line,
    Mark,
    Outline,
    Panel,
    Picture,
    Points,
    Rule,
    Style,
    Tip,
    axis_from_zero,
    even_axis,
    log_axis,
)
from mmoe_repro.views.style import (
    FAILS,
    HOLDS,
    INK,
    MARKERS,
    NEUTRAL,
    OURS,
    OVERLAID,
    PAPER_DASH,
    Series,
    correlations_of,
    models_of,
    series_of,
    shades_of,
    style_of,
    tints_of,
    title_of,
    variants_of,
)

#: Numbers of live units that are drawn apart; the last stands for more, too.
_LIVE = (0, 1, 2, 3)


def pictures_of(findings: Findings) -> dict[str, Picture]:
    """The pictures of a sweep, by the names of their files; those that it has the data for.

    A title states the finding where the runs are sure of one.
    """
    swept, runs = findings.swept, findings.runs
    series = series_of(swept.cells, findings.chosen)
    found = {
        "curves": curves(series, swept.mean_curves, swept.paper_loss),
        "histograms": histograms(series, runs, swept.paper_loss),
        "spread": spread(series, findings.losses, swept.paper_loss),
        "correlation": correlation(series, findings.losses, swept.paper_loss),
        "ranking": ranking(series, findings.losses),
        "trainability": trainability(swept.cells, swept.runs),
        "gates": gates(series, findings.gates),
        "live_units": live_units(series, runs),
        "deaths": deaths(swept.cells, runs),
        "joint_outcomes": joint_outcomes(series, findings.joint_outcomes),
    }
    about = about_sweep(swept.name, swept.cells, runs)
    return {
        name: replace(picture, title=findings.headlines.get(name, picture.title), about=about)
        for name, picture in found.items()
        if picture is not None
    }


def about_sweep(name: str, cells: Sequence[SweptCell], runs: pd.DataFrame) -> str:
    """The sweep in a line: what all of its cells share, and how many runs each has.

    Args:
        name: of the sweep.
        cells: of it.
        runs: task 1's.
    """
    parts = [name]
    for text, values in (
        ("law {}", {cell.data.name for cell in cells}),
        ("batch {:,}", {cell.training.batch_size for cell in cells}),
        ("learning rate {:g}", {cell.training.learning_rate for cell in cells}),
        ("{:,} steps", {cell.training.steps for cell in cells}),
    ):
        if len(values) == 1:
            parts.append(text.format(*values))
    counts = runs.groupby("cell").size()
    if len(counts):
        least, most = int(counts.min()), int(counts.max())
        number = f"{most:,}" if least == most else f"{least:,} to {most:,}"
        parts.append(f"{number} run{'' if most == 1 else 's'} a cell")
    return " · ".join(parts)


def _panel_title(variant: str, *more: str) -> str:
    return "\n".join(part for part in (variant, *more) if part)


def _at(p: float) -> str:
    """Where a number is found, in words; nothing for a law without a task correlation."""
    return "" if np.isnan(p) else f" at {p:g}"


def _held_out(p: float, has_others: bool) -> str:
    """Why a panel lacks the paper's numbers, where others have them."""
    return "(the paper's is held out)" if has_others and p == OPTIONAL else ""


def _by_law(series: Sequence[Series]) -> dict[str, list[Series]]:
    """The series of each law: laws may differ in scale, so each has axes of its own."""
    found: dict[str, list[Series]] = {}
    for one in series:
        found.setdefault(one.law, []).append(one)
    return found


def _has_many(series: Sequence[Series]) -> bool:
    """Whether there are too many models to be drawn over one another."""
    return len({one.model for one in series}) > OVERLAID


# -- learning curves -----------------------------------------------------------------------------


def curves(series: Sequence[Series], means: pd.DataFrame, paper_loss: float) -> Picture | None:
    """Mean loss of task 1 against the step, with the paper's Figure 3 or 4; None without curves.

    A row of panels for each setting, a panel for each correlation; of more than `OVERLAID` models a panel for each.

    Args:
        series: what to show.
        means: as `runs.curves.mean_curves` gives them; may have no rows.
        paper_loss: how many squared errors a loss of the paper is.
    """
    cells = [cell for one in series for cell in one.cells.values()]
    if len(means):
        means = means[(means["task"] == 1) & means["mean"].notna() & means["cell"].isin(cells)]
    if not len(means):
        return None
    stats = means.set_index(["cell", "step"])
    known = set(stats.index.get_level_values("cell"))
    series = [one for one in series if known & set(one.cells.values())]
    x = Axis("training step", 0, 1.02 * max(float(means["step"].max()), 1.0))
    theirs = {
        (figure, model, p): curve[curve["step"] <= x.high]
        for figure, model, p in {(one.paper_figure, one.model, p) for one in series for p in one.cells}
        if len(curve := paper.mean_curve(figure, model, p, paper_loss))
    }
    panels: list[Panel] = []
    words: list[str] = []
    many = _has_many(series)
    axes = {law: _loss_axis(of_law, stats, theirs, many) for law, of_law in _by_law(series).items()}
    for variant, mine in variants_of(series).items():
        y = axes[mine[0].law]
        if many:
            panels += [_curves_of(one, stats, x, y, words) for one in mine]
        else:
            of = [
                _curves_at(p, mine, stats, Panel(title_of(p), x, y), theirs, paper_loss, words)
                for p in correlations_of(series)
            ]
            panels += [replace(panel, title=_panel_title(variant, panel.title)) for panel in of]
    return Picture(
        title="Mean training loss while learning",
        note="task 1, mean over runs, logarithmic scale" + ("" if many else "; the band holds the middle 80 % of runs"),
        words="; ".join(words),
        panels=panels,
        columns=4 if many else len(correlations_of(series)),
        size=(2.9, 2.3) if many else (3.2, 3.0),
    )


def _loss_axis(
    series: Sequence[Series], stats: pd.DataFrame, theirs: Mapping[tuple[str, str, float], pd.DataFrame], many: bool
) -> Axis:
    cells = [cell for one in series for cell in one.cells.values()]
    mine = stats[stats.index.get_level_values("cell").isin(cells)]
    values = [mine[column].to_numpy(float) for column in (("mean",) if many else ("mean", "low", "high"))]
    if not many:
        wanted = {(one.paper_figure, one.model) for one in series}
        values += [curve["mean_loss"].to_numpy(float) for key, curve in theirs.items() if key[:2] in wanted]
    return log_axis("mean training loss, task 1", np.concatenate(values))


def _curves_at(
    p: float,
    series: Sequence[Series],
    stats: pd.DataFrame,
    panel: Panel,
    theirs: Mapping[tuple[str, str, float], pd.DataFrame],
    paper_loss: float,
    words: list[str],
) -> Panel:
    """The models at a correlation, with the paper's curves."""
    at_step: dict[float, list[str]] = {}
    known = set(stats.index.get_level_values("cell"))
    for one in series:
        if (cell := one.cells.get(p)) not in known:
            continue
        of_cell = pd.DataFrame(stats.xs(cell))
        mean, low, high = (of_cell[column].to_numpy() for column in ("mean", "low", "high"))
        steps = of_cell.index.to_numpy(float)
        panel.marks.append(Line(steps, mean, replace(one.style, marker=""), one.name, low, high))
        for step, value in zip(steps, mean, strict=True):
            at_step.setdefault(step, []).append(f"{one.name} {value:.4f}")
        words.append(f"{one.label}{_at(p)} ends at {mean[-1]:.3f}")
    for one in series:
        if (curve := theirs.get((one.paper_figure, one.model, p))) is None:
            continue
        steps, mean = curve["step"].to_numpy(float), curve["mean_loss"].to_numpy(float)
        style = Style(one.style.color, "", PAPER_DASH)
        panel.marks.append(
            Line(steps, mean, style, f"{one.name}, {paper.legend(one.paper_figure, paper_loss)}", thin=True)
        )
        for step, value in zip(steps, mean, strict=True):
            at_step.setdefault(step, []).append(f"{one.name} in the paper {value:.3f}")
    if not panel.marks:
        panel.empty = "not swept"
    elif not any((one.paper_figure, one.model, p) in theirs for one in series):
        panel.title = _panel_title(panel.title, _held_out(p, bool(theirs)))
    _tips(panel, at_step)
    return panel


def _curves_of(one: Series, stats: pd.DataFrame, x: Axis, y: Axis, words: list[str]) -> Panel:
    """A model at every correlation."""
    panel, shades = Panel(_panel_title(one.name, one.variant), x, y), shades_of(list(one.cells))
    known = set(stats.index.get_level_values("cell"))
    at_step: dict[float, list[str]] = {}
    for p, cell in one.cells.items():
        if cell not in known:
            continue
        mean = pd.Series(stats["mean"].xs(cell))
        panel.marks.append(Line(mean.index.to_numpy(float), mean.to_numpy(), Style(shades[p], ""), title_of(p)))
        for step, value in mean.items():
            at_step.setdefault(float(str(step)), []).append(f"{title_of(p)} {value:.4f}")
        words.append(f"{one.label}{_at(p)} ends at {mean.iloc[-1]:.3f}")
    _tips(panel, at_step)
    return panel


def _tips(panel: Panel, at_step: Mapping[float, Sequence[str]]) -> None:
    middle = float(np.sqrt(panel.y.low * panel.y.high))
    panel.tips += [Tip(step, middle, "\n".join([f"step {step:,.0f}", *lines])) for step, lines in at_step.items()]


# -- histograms and live units -------------------------------------------------------------------


def histograms(series: Sequence[Series], runs: pd.DataFrame, paper_loss: float) -> Picture:
    """Final losses of task 1, a panel for each series and correlation, with the paper's Figure 5.

    Args:
        series: what to show.
        runs: task 1's, without diverged ones, with `live_units`.
        paper_loss: how many squared errors a loss of the paper is.
    """
    correlations, many = correlations_of(series), _has_many(series)
    panels: dict[tuple[str, float, str], Panel] = {}
    words = []
    for of_law in _by_law(series).values():
        cells = [cell for one in of_law for cell in one.cells.values()]
        losses = runs.loc[runs["cell"].isin(cells), "final_loss"].to_numpy(float)
        edges, like_paper = histogram_bins(losses, paper_loss)
        x, y = (
            Axis("final loss, task 1", 0, float(edges[-1])),
            _shares_axis(of_law, runs, edges, like_paper, paper_loss),
        )
        has_paper = like_paper and any(
            paper.histogram(one.paper_figure, one.model, p, paper_loss)[1].size for one in of_law for p in one.cells
        )
        for one in of_law:
            for p in correlations:
                panel = panels[one.variant, p, one.model] = Panel(_panel_title(one.label, title_of(p)), x, y)
                if p not in one.cells:
                    panel.empty = "not swept"
                    continue
                mine = runs[runs["cell"] == one.cells[p]]
                _stack(panel, one, _shares_by_live_units(mine, edges), edges)
                their_edges, theirs = paper.histogram(one.paper_figure, one.model, p, paper_loss)
                if like_paper and theirs.size:
                    panel.marks.append(Outline(their_edges, theirs, f"the {paper.legend('figure5', paper_loss)}"))
                else:
                    panel.title = _panel_title(panel.title, _held_out(p, has_paper))
                if len(mine):
                    words.append(f"{one.label}{_at(p)}: median {mine['final_loss'].median():.3f}")
    # Models side by side, correlations below one another; the other way round if there are many models.
    models = models_of(one.model for one in series)
    places = {
        variant: [(model, p) for model in models for p in correlations] if many else [
            (model, p) for p in correlations for model in models
        ]
        for variant in variants_of(series)
    }  # fmt: skip
    order = [(variant, p, model) for variant, of in places.items() for model, p in of]
    blank = next(iter(panels.values()))
    return Picture(
        title="Final losses over runs, by how many units of the tower are alive",
        note="a unit is alive unless it is 0 on all 10,000 test examples; in colour: three live units or more",
        words="; ".join(words),
        panels=[panels.get(key) or Panel("", blank.x, blank.y, empty="not swept") for key in order],
        columns=len(correlations) if many else len(models),
        size=(2.8, 1.8) if many else (2.9, 2.0),
    )


def _shares_axis(
    series: Sequence[Series], runs: pd.DataFrame, edges: np.ndarray, like_paper: bool, paper_loss: float
) -> Axis:
    tallest = 0.01
    for one in series:
        for p, cell in one.cells.items():
            heights = list(_shares_by_live_units(runs[runs["cell"] == cell], edges).values())
            theirs = paper.histogram(one.paper_figure, one.model, p, paper_loss)[1] if like_paper else np.empty(0)
            tallest = max(tallest, np.sum(heights, axis=0).max(initial=0.0), theirs.max(initial=0.0))
    return Axis("share of runs", 0, min(1.05 * tallest, 1.02))


def _shares_by_live_units(runs: pd.DataFrame, edges: np.ndarray) -> dict[int, np.ndarray]:
    """Shares of runs by bin, for each number of live units; −1 for models whose units are not known."""
    live = runs["live_units"].clip(upper=max(_LIVE)).fillna(-1)
    losses = np.clip(runs["final_loss"].to_numpy(float), edges[0], edges[-1])
    return {
        number: np.histogram(losses[live == number], edges)[0] / max(len(runs), 1)
        for number in (*_LIVE, -1)
        if (live == number).any()
    }


def _stack(panel: Panel, one: Series, shares: Mapping[int, np.ndarray], edges: np.ndarray) -> None:
    """Bars on one another, dark for few live units, in the model's colour for all others."""
    greys = dict(zip(_LIVE[:-1], tints_of(len(_LIVE) - 1), strict=True))
    bottom = np.zeros(len(edges) - 1)
    for live, height in shares.items():
        label = _live(live) if live in greys else ""
        panel.marks.append(Bars(edges, bottom, bottom + height, greys.get(live, one.style.color), label))
        bottom = bottom + height
    for i in np.flatnonzero(bottom):
        split = [f"{_live(live)}: {height[i]:.1%}" for live, height in shares.items() if live >= 0 < height[i]]
        line = f"loss {edges[i]:.3f} to {edges[i + 1]:.3f}: {bottom[i]:.1%} of runs"
        panel.tips.append(Tip((edges[i] + edges[i + 1]) / 2, bottom[i], "\n".join([line, *split])))


def _live(live: int) -> str:
    return f"{live}{' or more' if live == max(_LIVE) else ''} live unit{'' if live == 1 else 's'}"


def live_units(series: Sequence[Series], runs: pd.DataFrame) -> Picture | None:
    """Mean final loss against the number of live tower units, a panel for each correlation; None where not known.

    Args:
        series: what to show.
        runs: task 1's, without diverged ones, with `live_units`.
    """
    shown = [cell for one in series for cell in one.cells.values()]
    runs = runs[runs["live_units"].notna() & runs["cell"].isin(shown)]
    if runs.empty:
        return None
    groups = runs.groupby(["cell", "live_units"])["final_loss"]
    table = groups.agg(["mean", "size"]).assign(low=groups.quantile(0.1), high=groups.quantile(0.9))
    most = float(runs["live_units"].max())
    x = Axis("live units of the tower", -0.5, most + 0.5, at=_whole(most))
    panels: list[Panel] = []
    words: list[str] = []
    known = set(table.index.get_level_values("cell"))
    series = [one for one in series if known & set(one.cells.values())]
    many, correlations = _has_many(series), correlations_of(series)
    axes = {}
    for law, of_law in _by_law(series).items():
        rows = table[table.index.get_level_values("cell").isin([c for one in of_law for c in one.cells.values()])]
        axes[law] = axis_from_zero("final loss, task 1", rows["high"].to_numpy())
    for variant, mine in variants_of(series).items():
        by_panel = [([one], one.name) for one in mine] if many else [(mine, "")]
        for of_panel, name in by_panel:
            for p in correlations:
                panel = Panel(_panel_title(name, variant, title_of(p)), x, axes[mine[0].law])
                for one in of_panel:
                    if (cell := one.cells.get(p)) in table.index.get_level_values("cell"):
                        _live_points(panel, one, p, pd.DataFrame(table.xs(cell)), words)
                panel.empty = "" if panel.marks else "no live units known"
                panels.append(panel)
    return Picture(
        title="Final loss against the tower's live units",
        note="task 1, mean over the runs with this many live units; the bar holds the middle 80 % of them",
        words="; ".join(words),
        panels=panels,
        columns=len(correlations),
        size=(2.9, 2.0) if many else (3.2, 2.6),
    )


def _whole(most: float) -> tuple[float, ...]:
    """Whole numbers up to the most, at most nine of them."""
    return tuple(np.arange(0, most + 1, max(1, np.ceil((most + 1) / 9))))


def _live_points(panel: Panel, one: Series, p: float, mine: pd.DataFrame, words: list[str]) -> None:
    at, mean, low, high = mine.index.to_numpy(float), *(mine[key].to_numpy() for key in ("mean", "low", "high"))
    panel.marks.append(Points(at, mean, one.style, one.name, low, high, joined=True))
    for live, count, value, least, top in zip(at, mine["size"], mean, low, high, strict=True):
        head = f"{one.label}, {live:g} live units\n{count} runs, mean loss {value:.4f}"
        panel.tips.append(Tip(live, value, f"{head}\nmiddle 80 %: {least:.4f} – {top:.4f}"))
        words.append(f"{one.label}{_at(p)} with {live:g} live units {value:.3f}")


def deaths(cells: Sequence[SweptCell], runs: pd.DataFrame) -> Picture | None:
    """Mean number of live tower units against the steps trained; None unless `training.steps` alone was swept.

    Args:
        cells: of the sweep.
        runs: task 1's, without diverged ones, with `live_units`.
    """
    several = any(len({cell.keys[key] for cell in cells}) > 1 for key in ("data", "learning_rate"))
    if several or any(list(cell.swept) != ["training.steps"] for cell in cells) or runs["live_units"].isna().all():
        return None
    stats = runs.groupby("cell")["live_units"].agg(["mean", "std", "size"])
    models = models_of(cell.model.name for cell in cells)
    steps = sorted({cell.training.steps for cell in cells})
    x = Axis("steps trained", steps[0] / 1.25, 1.25 * steps[-1], log=True)
    y = axis_from_zero("live units of the tower", stats["mean"].to_numpy())
    panels, words = [], []
    for p in dict.fromkeys(cell.data.correlation for cell in cells):
        panel = Panel(title_of(p), x, y)
        for model in models:
            mine = [cell for cell in cells if cell.model.name == model and cell.data.correlation == p]
            mine.sort(key=lambda cell: cell.training.steps)
            at = np.array([cell.training.steps for cell in mine], float)
            rows = stats.reindex([cell.identity for cell in mine])
            mean, half = rows["mean"].to_numpy(), (1.96 * rows["std"] / np.sqrt(rows["size"])).to_numpy()
            style = style_of(model, models)
            panel.marks.append(Points(at, mean, style, name_of(model), mean - half, mean + half, joined=True))
            for step, value, error in zip(at, mean, half, strict=True):
                text = f"{name_of(model)} after {step:,.0f} steps\n{value:.2f} live units (±{error:.2f})"
                panel.tips.append(Tip(step, value, text))
            words.append(f"{name_of(model)}, {title_of(p)}, from {mean[0]:.1f} to {mean[-1]:.1f}")
        panels.append(panel)
    return Picture(
        title="When tower units die: live units against the steps trained",
        note="mean over runs with its 95 % interval; a shorter training is the beginning of a longer one",
        words="; ".join(words),
        panels=panels,
        columns=len(panels),
    )


def joint_outcomes(series: Sequence[Series], table: pd.DataFrame) -> Picture | None:
    """Shares of runs that learnt both their tasks, one or none, by task correlation; None where none is known.

    Args:
        series: what to show.
        table: `joint_outcomes.csv`.
    """
    counts = {row["cell"]: row for _, row in table.iterrows()}
    panels: list[Panel] = []
    words: list[str] = []
    y = Axis("share of runs", 0.0, 1.0)
    for one in series:
        known = {p: counts[cell] for p, cell in one.cells.items() if cell in counts}
        if known:
            x = Axis("task correlation", -0.6, len(known) - 0.4, names=tuple(f"{p:g}" for p in known))
            panel = Panel(one.label, x, y)
            for place, (p, row) in enumerate(known.items()):
                words.append(_stack_outcomes(panel, place, one, p, row))
            expected = np.array([row["expected_one"] / row["runs"] for row in known.values()])
            label = "learn exactly one if tasks fail independently"
            panel.marks.append(Points(np.arange(len(known)), expected, Style(OURS, "D"), label))
            panels.append(panel)
    if not panels:
        return None
    return Picture(
        title="How many of its two tasks a run learns",
        note="a task is learnt unless its loss ends badly, as claim T1 has it; the grey at the bottom is exactly one",
        words="; ".join(words),
        panels=panels,
        columns=min(3, len(panels)),
    )


def _stack_outcomes(panel: Panel, place: int, one: Series, p: float, row: pd.Series) -> str:
    """Bars on one another of a cell: exactly one at the bottom, where the expected share is compared with it."""
    edges, bottom = np.array([place - 0.3, place + 0.3]), 0.0
    greys = dict(zip(("none", "one", "both"), tints_of(3), strict=True))  # dark for few
    for outcome in ("one", "none", "both"):
        top = bottom + row[outcome] / row["runs"]
        label = f"learnt {outcome}{' of the tasks' if outcome == 'one' else ''}"
        panel.marks.append(Bars(edges, np.array([bottom]), np.array([top]), greys[outcome], label))
        bottom = top
    counts = f"{row['both']:g} learnt both, {row['one']:g} one, {row['none']:g} none of {row['runs']:g}"
    independent = f"{row['expected_one']:.0f} would have learnt exactly one if the tasks failed independently"
    panel.tips.append(Tip(place, 1.0, f"{one.label}{_at(p)}: {counts}\n{independent}"))
    return f"{one.label}{_at(p)}: {counts}"


# -- against the task correlation ----------------------------------------------------------------


def spread(series: Sequence[Series], losses: pd.DataFrame, paper_loss: float) -> Picture:
    """Standard deviation over runs of task 1's test loss against the task correlation.

    Args:
        series: what to show.
        losses: `losses.csv`.
        paper_loss: how many squared errors a loss of the paper is.
    """
    theirs = {
        (one.label, p): found
        for one in series
        for p in one.cells
        if (found := paper.final_sd(one.paper_figure, one.model, p, paper_loss)) is not None
    }
    title = "How much the loss varies between runs that differ only in their seed"
    return _against_correlation(series, losses, ("test", "sd"), "sd over runs of the test loss, task 1", title, theirs)


def correlation(series: Sequence[Series], losses: pd.DataFrame, paper_loss: float) -> Picture:
    """Mean final loss of task 1 against the task correlation; arguments as of `spread`."""
    theirs = {
        (one.label, p): float(curve["mean_loss"].iloc[-1])
        for one in series
        for p in one.cells
        if len(curve := paper.mean_curve(one.paper_figure, one.model, p, paper_loss))
    }
    title = "What task correlation does to the loss"
    return _against_correlation(series, losses, ("final", "mean"), "mean final loss, task 1", title, theirs)


def _against_correlation(
    series: Sequence[Series],
    losses: pd.DataFrame,
    statistic: tuple[str, str],
    label: str,
    title: str,
    theirs: Mapping[tuple[str, float], float],
) -> Picture:
    loss, column = statistic
    rows = losses[(losses["task"] == 1) & (losses["loss"] == loss)].set_index("cell")
    table = rows[[column, f"{column}_low", f"{column}_high"]].set_axis(["value", "low", "high"], axis=1)
    table = table.where(np.isfinite(table))
    many, panels, words = _has_many(series), [], []
    for of_law in _by_law(series).values():
        cells = [cell for one in of_law for cell in one.cells.values()]
        of_paper = [value for (name, _), value in theirs.items() if any(one.label == name for one in of_law)]
        axis = axis_from_zero(label, np.concatenate([table.reindex(cells).to_numpy(float).ravel(), of_paper]))
        names = _ranked(of_law, table)
        for variant, mine in variants_of(of_law).items():
            panel = Panel(variant, axis, Axis("", -0.6, len(names) - 0.4, names=tuple(map(name_of, names))))
            if many:
                words += _rows(panel, mine, names, table, theirs, correlations_of(series))
            else:
                panel = Panel(variant, _correlation_axis(series), axis)
                words += _lines(panel, mine, table, theirs)
            if not table.reindex([cell for one in mine for cell in one.cells.values()])["value"].notna().any():
                panel.empty = "needs two runs or more"
            panels.append(panel)
    held_out = ""
    if theirs and OPTIONAL in correlations_of(series) and not any(p == OPTIONAL for _, p in theirs):
        held_out = "; the paper's numbers at 0.9 are held out"
    hollow = ", hollow: the paper" if theirs else ""
    return Picture(
        title=title,
        note=f"bars: 95 % bootstrap intervals over runs{hollow}{held_out}",
        words="; ".join(words),
        panels=panels,
        columns=min(2 if many else 4, len(panels)),
        size=((5.5 if len(panels) > 1 else 7.5), 3.6) if many else (3.2, 2.8) if len(panels) > 1 else (5.6, 3.6),
    )


def ranking(series: Sequence[Series], losses: pd.DataFrame) -> Picture | None:
    """Models by their mean final loss of task 1, a panel for each setting and correlation; None of three or fewer.

    Args:
        series: what to show.
        losses: `losses.csv`.
    """
    if len({one.model for one in series}) <= 3:
        return None
    table = losses[(losses["task"] == 1) & (losses["loss"] == "final")].set_index("cell")
    means = dict(zip(table.index, table["mean"].to_numpy(float), strict=True))
    panels, words = [], []
    for of_law in _by_law(series).values():
        rows = table.reindex([cell for one in of_law for cell in one.cells.values()])
        x = axis_from_zero("mean final loss, task 1", rows[["mean", "mean_high"]].to_numpy(float))
        for variant, mine in variants_of(of_law).items():
            for p in correlations_of(mine):
                known = [one for one in mine if p in one.cells and np.isfinite(means[one.cells[p]])]
                known.sort(key=lambda one: -means[one.cells[p]])
                y = Axis("", -0.6, max(len(known), 1) - 0.4, names=tuple(one.name for one in known))
                panel = Panel(_panel_title(variant, title_of(p)), x, y, empty="" if known else "no run without a fault")
                for at, one in enumerate(known):
                    mean, low, high = map(float, table.loc[one.cells[p], ["mean", "mean_low", "mean_high"]])
                    ends = np.array([low]), np.array([high])
                    panel.marks.append(
                        Points(np.array([mean]), np.array([float(at)]), one.style, "", *ends, across=True)
                    )
                    interval = "" if np.isnan(low) else f" (95 %: {low:.4f} – {high:.4f})"
                    panel.tips.append(Tip(mean, float(at), f"{one.name}: {mean:.4f}{interval}"))
                words.append(f"{title_of(p)}: " + ", ".join(one.name for one in reversed(known)))
                panels.append(panel)
    return Picture(
        title="Models by their mean final loss, the lowest on top",
        note="bars: 95 % bootstrap intervals over runs; models whose bars overlap are not surely apart",
        words="; ".join(words),
        panels=panels,
        columns=min(2, len(panels)),
        size=(3.2, 3.0),
    )


def _ranked(series: Sequence[Series], table: pd.DataFrame) -> list[str]:
    """Models by their mean over settings at the least correlation, so that the lowest stands on top."""
    values: dict[str, list[float]] = {}
    for one in series:
        values.setdefault(one.model, []).append(table["value"].get(next(iter(one.cells.values())), np.nan))
    known = {model: [value for value in of if np.isfinite(value)] for model, of in values.items()}
    return sorted(values, key=lambda model: -float(np.mean(known[model])) if known[model] else 0.0)


def _lines(
    panel: Panel, series: Sequence[Series], table: pd.DataFrame, theirs: Mapping[tuple[str, float], float]
) -> list[str]:
    """A line for each model over the correlations, with the paper's points."""
    words = []
    for one in series:
        at = _places(one.cells)
        mine = table.reindex(list(one.cells.values()))
        values, low, high = (mine[key].to_numpy(float) for key in ("value", "low", "high"))
        panel.marks.append(Points(at, values, one.style, one.name, low, high, joined=True))
        for p, value, least, most in zip(one.cells, values, low, high, strict=True):
            interval = f" (95 %: {least:.4f} – {most:.4f})" if np.isfinite(least) else ""
            panel.tips.append(Tip(np.nan_to_num(p), value, f"{one.name}, {title_of(p)}\n{value:.4f}{interval}"))
            if np.isfinite(value):
                words.append(f"{one.label}{_at(p)} {value:.3f}")
    for one in series:
        found = {p: theirs[one.label, p] for p in one.cells if (one.label, p) in theirs}
        if found:
            at, values = np.array(list(found)), np.array(list(found.values()))
            panel.marks.append(Points(at, values, one.style, f"{one.name}, the paper", hollow=True))
            panel.tips += [Tip(p, v, f"{one.name} in the paper\n{v:.3f}") for p, v in found.items()]
    return words


def _places(correlations: Iterable[float]) -> np.ndarray:
    """Where correlations stand on an axis; a law without one at 0."""
    return np.array([0.0 if np.isnan(p) else p for p in correlations])


def _correlation_axis(series: Sequence[Series]) -> Axis:
    known = [p for p in correlations_of(series) if np.isfinite(p)]
    if not known:
        return Axis("the law has no task correlation", -1.0, 1.0, at=())
    pad = 0.06 * ((max(known) - min(known)) or 1.0)
    # Neighbours that are too near for both numbers show one.
    apart = 0.09 * (max(known) - min(known))
    written: list[float] = []
    for p in reversed(known):
        if not written or written[-1] - p >= apart:
            written.append(p)
    return Axis("task correlation", min(known) - pad, max(known) + pad, at=tuple(reversed(written)))


def _rows(
    panel: Panel,
    series: Sequence[Series],
    names: Sequence[str],
    table: pd.DataFrame,
    theirs: Mapping[tuple[str, float], float],
    correlations: Sequence[float],
) -> list[str]:
    """A row for each model with a point for each correlation."""
    shades, words = shades_of(correlations), []
    for position, p in enumerate(correlations):
        mine = [one for one in series if p in one.cells]
        rows = table.reindex([one.cells[p] for one in mine])
        value, low, high = (rows[key].to_numpy(float) for key in ("value", "low", "high"))
        off = 0.16 * ((len(correlations) - 1) / 2 - position)
        at = np.array([names.index(one.model) for one in mine], float) + off
        style = Style(shades[p], MARKERS[position % len(MARKERS)])
        panel.marks.append(Points(value, at, style, title_of(p), low, high, across=True))
        for y, found, one in zip(at, value, mine, strict=True):
            if np.isfinite(found):
                panel.tips.append(Tip(found, y, f"{one.name}, {title_of(p)}\n{found:.4f}"))
                words.append(f"{one.label}{_at(p)} {found:.3f}")
        papers = [(names.index(one.model) + off, theirs[one.label, p]) for one in mine if (one.label, p) in theirs]
        if papers:
            at, their = np.array(papers).T
            panel.marks.append(Points(their, at, style, f"{title_of(p)}, the paper", across=True, hollow=True))
    return words


# -- trainability and gates ----------------------------------------------------------------------


def trainability(cells: Sequence[SweptCell], runs: pd.DataFrame) -> Picture | None:
    """How near the runs of a range of settings come to the model's best setting; None without a range.

    Args:
        cells: of the sweep.
        runs: `runs.parquet`.
    """
    of_ranges = ranges(cells)
    if not of_ranges:
        return None
    runs = runs[runs["task"] == 1]
    models = models_of(model for model, _, _ in of_ranges)
    laws = {law for _, law, _ in of_ranges}
    profiles = {key: profile(of_range, runs) for key, of_range in of_ranges.items()}
    ratios = np.concatenate([one.ratios for one in profiles.values()])
    # All runs that did not diverge are on it.
    x = log_axis("final loss ÷ mean of the model's best setting", np.append(ratios, (0.8, 2.0)))
    y = Axis("share of the runs of all settings", 0, 1.02)
    factors = np.geomspace(x.low, x.high, 200)
    panels: dict[Any, Panel] = {}
    at_factor: dict[Any, list[tuple[str, np.ndarray]]] = {}
    words = []
    for (model, law, p), of_model in sorted(profiles.items(), key=lambda of: models.index(of[0][0])):
        title = _panel_title(law, title_of(p)) if len(laws) > 1 else title_of(p)
        panel = panels.setdefault((law, p), Panel(title, x, y))
        shares = of_model.within(factors)
        panel.marks.append(Line(factors, shares, replace(style_of(model, models), marker=""), name_of(model)))
        at_factor.setdefault((law, p), []).append((name_of(model), shares))
        words.append(f"{name_of(model)}{_at(p)}: {of_model.within(NEAR):.0%} of runs near its best")
    for key, panel in panels.items():
        panel.marks.append(Rule(NEAR, f"{NEAR:g} times the best"))
        for i in range(0, len(factors), 4):
            lines = [f"{name} {shares[i]:.0%}" for name, shares in at_factor[key]]
            panel.tips.append(Tip(factors[i], 0.5, "\n".join([f"at most {factors[i]:.2f} times the best", *lines])))
    settings = len(next(iter(of_ranges.values())))
    return Picture(
        title=f"How many runs over {settings} settings come near the model's best",
        note="each model against the lowest mean of its own settings at this correlation; all runs but diverged ones",
        words="; ".join(words),
        panels=list(panels.values()),
        columns=min(len(panels), 3),
    )


def gates(series: Sequence[Series], table: pd.DataFrame) -> Picture | None:
    """How far apart the tasks' gates are, how many experts they use, and how evenly; None without gates.

    Args:
        series: what to show.
        table: of `gates_summary`.
    """
    if table.empty:
        return None
    rows = table.set_index("cell")
    shown = [one for one in series if any(cell in rows.index for cell in one.cells.values())]
    labels = dict(
        zip(
            MEASURES,
            (
                "divergence of the tasks' gates, bits",
                "experts used by task 1",
                "entropy of its gate per example, bits",
            ),
            strict=True,
        )
    )
    x, words = _correlation_axis(shown), []
    columns = [rows[[name, f"{name}_high"]].to_numpy(float) for name in MEASURES]
    axes = {name: axis_from_zero(labels[name], of) for name, of in zip(MEASURES, columns, strict=True)}
    most = max(len(ranked) for ranked in rows["ranked"])
    across = Axis("task 1's experts, most used first", 0.5, most + 0.5, at=tuple(n for n in _whole(most) if n))
    weights = axis_from_zero("mean gate weight", np.concatenate(list(rows["ranked"])))
    correlations, panels = correlations_of(shown), []
    for variant, mine in variants_of(shown).items():
        for measure, y in axes.items():
            panel = Panel(variant, x, y)
            for one in mine:
                of = rows.reindex(list(one.cells.values()))
                values, low, high = (of[key].to_numpy(float) for key in (measure, f"{measure}_low", f"{measure}_high"))
                panel.marks.append(Points(_places(one.cells), values, one.style, one.name, low, high, joined=True))
                for p, value in zip(one.cells, values, strict=True):
                    if np.isfinite(value):
                        panel.tips.append(Tip(np.nan_to_num(p), value, f"{one.name}, {title_of(p)}\n{value:.3f}"))
                        words.append(f"{one.label}{_at(p)}: {y.label} {value:.2f}")
            panels.append(panel)
        for p in correlations:
            panel = Panel(_panel_title(variant, title_of(p)), across, weights)
            for one in mine:
                if (cell := one.cells.get(p)) in rows.index:
                    ranked = np.array(rows.at[cell, "ranked"])
                    panel.marks.append(
                        Points(np.arange(1.0, len(ranked) + 1), ranked, one.style, one.name, joined=True)
                    )
            panel.empty = "" if panel.marks else "not swept"
            panels.append(panel)
    several = len(variants_of(shown)) > 1
    return Picture(
        title="How the gates share the experts between the tasks",
        note="on test examples; bars: 95 % bootstrap intervals over runs",
        words="; ".join(words),
        panels=panels,
        columns=len(MEASURES) + len(correlations) if several else len(MEASURES),
        size=(2.7, 2.4) if several else (3.2, 2.7),
    )


# -- claims --------------------------------------------------------------------------------------


def compared(comparisons: Sequence[Comparison]) -> list[list[Comparison]]:
    """The comparisons of a claim, those of one quantity with two bounds together."""
    found: dict[str, list[Comparison]] = {}
    for one in comparisons:
        found.setdefault(one.part.label, []).append(one)
    return list(found.values())


def forest(title: str, comparisons: Sequence[Comparison], confidence: float) -> Picture | None:
    """Each quantity that a claim compares: its value with its interval, and the bounds; None without any interval.

    Ratios and differences have a panel each.

    Args:
        title: of the claim.
        comparisons: all of it.
        confidence: of the intervals.
    """
    if not any(np.isfinite(one.measured.low) for one in comparisons):
        return None
    panels, words = [], []
    for is_ratio in (True, False):
        mine = [of for of in compared(comparisons) if of[0].part.is_ratio == is_ratio]
        if mine:
            panels.append(_forest(mine, confidence))
        values = [(of[0].part.label, of[0].part.shown(of[0].measured.value)) for of in mine]
        words += [f"{label}: {value:.3g}" for label, value in values if np.isfinite(value)]
    return Picture(title, "", "; ".join(words), panels, len(panels))


def _forest(rows: Sequence[Sequence[Comparison]], confidence: float) -> Panel:
    part = rows[0][0].part
    found = np.array([[part.shown(value) for value in of[0].measured[:3]] for of in rows])
    bounds = [[part.shown(one.part.bound) for one in of] for of in rows]
    known = np.concatenate([found.ravel(), *bounds])
    # What all rows compare is said once, as the panel's title.
    measures = {of[0].part.label.split(", ")[0] for of in rows}
    title = measures.pop() if len(measures) == 1 and len(rows) > 1 else ""
    names = [of[0].part.label.removeprefix(f"{title}, ") for of in rows]
    x = log_axis("ratio", known) if part.is_ratio else even_axis("difference", known)
    panel = Panel(title, x, Axis("", -0.6, len(rows) - 0.2, names=tuple(reversed(names))))
    for row, (of, (value, low, high), of_row) in enumerate(zip(rows, found, bounds, strict=True)):
        at = float(len(rows) - 1 - row)
        panel.marks += [Rule(bound, span=(at - 0.25, at + 0.25)) for bound in of_row]
        ends = np.array([low]), np.array([high])
        panel.marks.append(Points(np.array([value]), np.array([at]), Style(_color(of)), "", *ends, across=True))
        interval = f"{value:.3g}" + ("" if np.isnan(low) else f" ({confidence:.2%}: {low:.3g} – {high:.3g})")
        panel.tips.append(Tip(value, at, f"{of[0].part.label}\n{interval}\nholds {holds_if(of)}"))
    return panel


def holds_if(of: Sequence[Comparison]) -> str:
    """Where a quantity has to lie, of its comparisons with each bound."""
    low, high = ([one.part.shown(one.part.bound) for one in of if one.part.above == above] for above in (True, False))
    if low and high:
        return f"between {low[0]:.3g} and {high[0]:.3g}"
    return f"above {low[0]:.3g}" if low else f"below {high[0]:.3g}"


def _color(of: Sequence[Comparison]) -> str:
    """Of a quantity that holds against all of its bounds, fails against any, or is open."""
    sides = []
    for one in of:
        low, high, bound = one.measured.low, one.measured.high, one.part.bound
        above, below = low > bound, high < bound
        sides.append((above, below) if one.part.above else (below, above))
    if all(holds for holds, _ in sides):
        return HOLDS
    return FAILS if any(fails for _, fails in sides) else NEUTRAL


# -- label correlation, the paper's Figure 2 -----------------------------------------------------


def label_correlation(table: pd.DataFrame, line: tuple[np.ndarray, np.ndarray], law: str) -> Picture:
    """Trials and closed form of the label Pearson correlation, with the paper's points and bars.

    Args:
        table: of `correlation_table`.
        line: task correlations and the closed form at them.
        law: the option of the `data` group.
    """
    at = table["correlation"].to_numpy(float)
    ours = Style(OURS)
    marks: list[Mark] = []
    if np.isfinite(line[1]).any():
        marks.append(Line(*line, ours, "closed form, here"))
    half = table["two_sd"].to_numpy(float)
    mean = table["mean"].to_numpy(float)
    label = f"{table['trials'].iloc[0]} trials, mean ± 2 sd, here"
    marks.append(Points(at, mean, ours, label, mean - half, mean + half))
    theirs = table[table["paper_mean"].notna()]
    tops = [mean, line[1], theirs["paper_mean"].to_numpy(float)]
    if len(theirs):
        mean, half = theirs["paper_mean"].to_numpy(float), theirs["paper_two_sd"].to_numpy(float)
        beside = theirs["correlation"].to_numpy(float) + 0.006  # so that neither hides the other
        label = "paper's Figure 2 (set a little to the right)"
        marks.append(Points(beside, mean, Style(INK, "D"), label, mean - half, mean + half, hollow=True))
    x = even_axis("task correlation: cosine of the weight vectors", at)
    y = even_axis("Pearson correlation of the labels", np.concatenate(tops))
    words = "; ".join(f"{p:g}: {value:.3f}" for p, value in zip(at, table["mean"], strict=True))
    title = f"What task correlation means for the labels, data={law}"
    return Picture(title, "", words, [Panel("", x, y, marks)], 1, (5.6, 3.6))
