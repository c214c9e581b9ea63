"""`mmoe-repro correlation`: the paper's Figure 2, label Pearson correlation against task correlation."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from mmoe_repro.commands.outputs import as_only_writer
from mmoe_repro.data.law import make_law
from mmoe_repro.errors import UsageError
from mmoe_repro.findings.label_correlation import POINTS, TRIALS, correlation_table, trial_correlations
from mmoe_repro.findings.statistics import spreads_p
from mmoe_repro.jobs.checks import check_law
from mmoe_repro.runs.files import write_settings, write_table
from mmoe_repro.settings.ranges import check, check_name
from mmoe_repro.text import aligned
from mmoe_repro.views.figure_files import save
from mmoe_repro.views.figures import label_correlation


def as_text(table: pd.DataFrame) -> str:
    """The table for the terminal."""
    columns = ["correlation", "closed_form", "mean", "paper_mean", "closed_form_two_sd", "two_sd", "paper_two_sd"]
    header = ["task correlation", "closed form", "trials", "paper", "2 sd: expected", "trials", "paper"]
    formats = ["{:g}", *["{:.4f}"] * 6]
    rows = [
        ["–" if np.isnan(value) else form.format(value) for form, value in zip(formats, row, strict=True)]
        for row in table[columns].to_numpy(float)
    ]
    return aligned(header, rows)


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
    settings.pop("fitted_to", None)  # said of the law, and nothing that it is made with
    correlations = sorted(set(config.correlations))
    laws = [make_law(choice, {**settings, "correlation": value}) for value in correlations]
    check_law(choice, laws[0])
    seeds = range(config.seed, config.seed + config.trials)
    table = correlation_table(
        laws, correlations, np.stack([trial_correlations(laws, config.points, seed) for seed in seeds]), config.points
    )
    fine = np.linspace(correlations[0], correlations[-1], 201)
    line = [make_law(choice, {**settings, "correlation": float(value)}) for value in fine]
    closed_form = np.array([float(getattr(law, "label_pearson", np.nan)) for law in line])
    results = Path(hydra.run.dir)
    results.mkdir(parents=True, exist_ok=True)
    with as_only_writer(results):
        write_table(results / "correlation.csv", table)
        write_settings(results / "config.yaml", OmegaConf.to_container(config, resolve=True))
        picture = label_correlation(table, (fine, closed_form), choice)
        print(f"Label Pearson correlation of data={choice}, {config.trials} trials of {config.points:,} points\n")
        print(as_text(table))
        for sentence in _against_the_paper(table, config.points):
            print(sentence)
        print(f"Table    {results}/correlation.csv")
        (figure,) = save(results / "figures", {"correlation": picture})
        print(f"Figure   {figure}, .svg")
