"""`mmoe-repro correlation`: the paper's Figure 2, label Pearson correlation against task correlation."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

from mmoe_repro import paper, plots, tables
from mmoe_repro.checks import check_law, make
from mmoe_repro.config import check, check_name
from mmoe_repro.errors import UsageError
from mmoe_repro.normals import UNIT, CPUNormals
from mmoe_repro.statistics import spreads_p
from mmoe_repro.store import write_settings, write_table
from mmoe_repro.streams import Law, derived, generator

#: Trials that a point of the paper's Figure 2 is the mean of, and the examples of each.
TRIALS, POINTS = 100, 10_000


def trial_correlations(laws: Sequence[Law], points: int, seed: int) -> np.ndarray:
    """Label Pearson correlation of tasks 1 and 2 in one trial, for each law `(laws,)`.

    Laws that take the same normal numbers get the same, as in a sweep: only their weights and labels differ.

    Args:
        laws: one for each task correlation.
        points: examples of the trial.
        seed: of its weights and examples.
    """
    count = math.ceil(points / UNIT) * UNIT
    sources = [
        CPUNormals([derived(seed, "examples", number)], count, size, torch.float32)
        for number, size in enumerate(laws[0].normals)
    ]
    normals = [source.take()[0][:points] for source in sources]
    found = []
    for law in laws:
        _, y = law.draw(law.weights(generator(seed, "weights"), torch.float32), *normals)
        found.append(float(torch.corrcoef(y[:, :2].double().T)[0, 1]))
    return np.array(found)


def correlation_table(
    laws: Sequence[Law], correlations: Sequence[float], trials: np.ndarray, points: int
) -> pd.DataFrame:
    """Figure 2 as a table, a row for each task correlation.

    Args:
        laws: one for each task correlation.
        correlations: the task correlations.
        trials: label correlations `(trials, correlations)`.
        points: examples of a trial.

    Returns:
        correlation, closed_form, closed_form_two_sd (what the law expects of the trials), trials, mean, two_sd;
        paper_mean, paper_two_sd where the paper has a point.
    """

    def spread(law: Law) -> float:
        method = getattr(law, "label_pearson_spread", None)
        return np.nan if method is None else float(method(points))

    table = pd.DataFrame(
        {
            "correlation": correlations,
            "closed_form": [float(getattr(law, "label_pearson", np.nan)) for law in laws],
            "closed_form_two_sd": [2 * spread(law) for law in laws],
            "trials": len(trials),
            "mean": trials.mean(0),
            "two_sd": 2 * trials.std(0, ddof=1) if len(trials) > 1 else np.nan,
        }
    )
    columns = {"weight_cosine": "correlation", "label_pearson_mean": "paper_mean", "label_pearson_2sd": "paper_two_sd"}
    return table.merge(paper.table("figure2").rename(columns=columns), on="correlation", how="left")


def draw_figure(table: pd.DataFrame, line: tuple[np.ndarray, np.ndarray], choice: str) -> Figure:
    """Trials and closed form, with the paper's points and bars on top.

    Args:
        table: of `correlation_table`.
        line: task correlations and the closed form at them.
        choice: of the `data` group.
    """
    figure = Figure(figsize=(5.6, 4.0))
    axes = figure.subplots()
    x = table["correlation"]
    if np.isfinite(line[1]).any():
        axes.plot(*line, color="#0072B2", label="closed form, here")
    label = f"{table['trials'].iloc[0]} trials, mean ± 2 sd, here"
    bars = table["two_sd"].fillna(0)
    axes.errorbar(x, table["mean"], yerr=bars, fmt="o", color="#0072B2", capsize=3, markersize=4, label=label)
    of_paper = table[table["paper_mean"].notna()]
    if not of_paper.empty:
        axes.errorbar(
            of_paper["correlation"] + 0.006,  # beside ours, so that neither hides the other
            of_paper["paper_mean"],
            yerr=of_paper["paper_two_sd"],
            fmt="D",
            color="black",
            markerfacecolor="white",
            markersize=4,
            capsize=3,
            linewidth=1,
            label="paper's Figure 2 (set a little to the right)",
        )
    axes.set_xlabel("task correlation: cosine of the weight vectors")
    axes.set_ylabel("Pearson correlation of the labels")
    axes.set_title(f"What task correlation means for the labels, data={choice}", fontsize=9)
    axes.legend(fontsize=8)
    return figure


def as_text(table: pd.DataFrame) -> str:
    """The table for the terminal."""
    columns = ["correlation", "closed_form", "mean", "paper_mean", "closed_form_two_sd", "two_sd", "paper_two_sd"]
    header = ["task correlation", "closed form", "trials", "paper", "2 sd: expected", "trials", "paper"]
    formats = ["{:g}", *["{:.4f}"] * 6]
    rows = [
        ["–" if np.isnan(value) else form.format(value) for form, value in zip(formats, row, strict=True)]
        for row in table[columns].to_numpy(float)
    ]
    return tables.aligned(header, rows)


def _against_the_paper(table: pd.DataFrame, points: int) -> list[str]:
    """How far the law is from the paper's points, and whether it can have made the paper's bars."""
    shared = table[table["paper_mean"].notna() & table["closed_form"].notna()]
    if shared.empty:
        return []
    lines = [f"Farthest from the paper's points: {(shared['closed_form'] - shared['paper_mean']).abs().max():.4f}"]
    bars = shared[(shared["correlation"] < 1) & shared["closed_form_two_sd"].notna()]
    if points == POINTS and not bars.empty:
        # At 1 the bar is as small as what can be read of it.
        ratios = bars["paper_two_sd"] / bars["closed_form_two_sd"]
        p = spreads_p(bars["paper_two_sd"].to_numpy(), bars["closed_form_two_sd"].to_numpy(), TRIALS)
        lines.append(
            f"The paper's bars are {ratios.min():.2f} to {ratios.max():.2f} times what this law's trials have; "
            f"p = {p:.2g} if it made them"
        )
    return lines


def run(config: DictConfig, hydra: Any) -> None:
    """Run the trials, leave the table and the figure, show them.

    Args:
        config: the settings.
        hydra: Hydra's own.

    Raises:
        UsageError: a setting out of range, or a law without a task correlation.
    """
    choice = str(hydra.runtime.choices["data"])
    check("trials", config.trials, config.trials >= 1, "at least 1")
    check("points", config.points, config.points >= 2, "at least 2")
    check("seed", config.seed, config.seed >= 0, "at least 0")
    check("correlations", config.correlations, len(config.correlations) >= 1, "one task correlation or more")
    check_name(config.name)
    settings: Any = OmegaConf.to_container(config.data, resolve=True, throw_on_missing=True)
    if "correlation" not in settings:
        raise UsageError(f"data={choice}: has no setting 'correlation' to vary")
    correlations = sorted(set(config.correlations))
    laws = [make("data", choice, {**settings, "correlation": value}) for value in correlations]
    check_law(choice, laws[0])
    seeds = range(config.seed, config.seed + config.trials)
    table = correlation_table(
        laws, correlations, np.stack([trial_correlations(laws, config.points, seed) for seed in seeds]), config.points
    )
    fine = np.linspace(correlations[0], correlations[-1], 201)
    line = [make("data", choice, {**settings, "correlation": float(value)}) for value in fine]
    closed_form = np.array([float(getattr(law, "label_pearson", np.nan)) for law in line])
    results = Path(hydra.run.dir)
    write_table(results / "correlation.csv", table)
    write_settings(results / "config.yaml", OmegaConf.to_container(config, resolve=True))
    (figure,) = plots.save(
        results / "figures", {"correlation": lambda: draw_figure(table, (fine, closed_form), choice)}
    )
    print(f"Label Pearson correlation of data={choice}, {config.trials} trials of {config.points:,} points\n")
    print(as_text(table))
    for told in _against_the_paper(table, config.points):
        print(told)
    print(f"Figure   {figure}, .svg")
    print(f"Table    {results}/correlation.csv")
