"""The loss table: per cell and task, what its runs' losses amount to."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from hydra.utils import instantiate

from mmoe_repro.results import SweptCell
from mmoe_repro.statistics import bootstrap, iqm, standard_deviation

#: Losses that the table summarises, with their columns in `runs.parquet`.
LOSSES = {"final": "final_loss", "test": "test_loss"}
_ALWAYS = ("model", "correlation")


def choose_rates(cells: Sequence[SweptCell], tuning: pd.DataFrame) -> dict[str, bool | None]:
    """Tell for each cell whether its learning rate is the chosen one among cells that differ in nothing else.

    Args:
        cells: of the sweep.
        tuning: cell, test_loss of the tuning runs and tasks; may be empty.

    Returns:
        by cell: True for the lowest mean test loss over tuning runs and tasks (section 5.1's grid search), or for
        the only rate; None where there are several rates but not tuning runs for each. A rate at which a tuning run
        diverged is not chosen unless all did.
    """
    groups: dict[tuple[object, ...], list[SweptCell]] = {}
    for cell in cells:
        rest = {key: value for key, value in cell.keys.items() if key not in ("cell", "learning_rate")}
        groups.setdefault(tuple(rest.items()), []).append(cell)
    chosen: dict[str, bool | None] = {}
    for group in groups.values():
        names = [cell.cell.identity for cell in group]
        if len(names) == 1:
            chosen[names[0]] = True
            continue
        by_cell = {name: tuning.loc[tuning["cell"] == name, "test_loss"] for name in names} if len(tuning) else {}
        if not by_cell or any(losses.empty for losses in by_cell.values()):
            chosen.update(dict.fromkeys(names))
            continue
        means = {name: losses.mean(skipna=False) for name, losses in by_cell.items()}
        best = min(names, key=lambda name: means[name] if np.isfinite(means[name]) else np.inf)
        chosen.update({name: name == best for name in names})
    return chosen


def label_pearson(cell: SweptCell) -> float:
    """Closed-form Pearson correlation of two tasks' labels; NaN for a law that does not tell it."""
    return float(getattr(instantiate(cell.cell.settings["data"]), "label_pearson", np.nan))


def losses_table(cells: Sequence[SweptCell], runs: pd.DataFrame, chosen: dict[str, bool | None]) -> pd.DataFrame:
    """Summarise `runs.parquet`, a row per cell, task and loss. Diverged runs are counted, and left out of the rest."""
    several_laws = len({cell.cell.data for cell in cells}) > 1
    rows = []
    for cell in cells:
        keys = cell.keys
        identity, pearson = keys.pop("cell"), label_pearson(cell)
        if not several_laws:
            del keys["data"]
        mine = runs[runs["cell"] == identity]
        for task, of_task in mine.groupby("task"):
            for loss, column in LOSSES.items():
                sample = of_task.loc[~of_task["diverged"], column].to_numpy(float)
                mean, sd = bootstrap(sample), bootstrap(sample, standard_deviation)
                rows.append(
                    {
                        **keys,
                        "chosen": chosen[identity],
                        "task": task,
                        "loss": loss,
                        "label_pearson": pearson,
                        "runs": len(of_task),
                        "diverged": int(of_task["diverged"].sum()),
                        "mean": mean.value,
                        "mean_low": mean.low,
                        "mean_high": mean.high,
                        "sd": sd.value,
                        "sd_low": sd.low,
                        "sd_high": sd.high,
                        "median": np.median(sample) if sample.size else np.nan,
                        "iqm": iqm(sample) if sample.size else np.nan,
                        "best": sample.min(initial=np.inf) if sample.size else np.nan,
                        "worst": sample.max(initial=-np.inf) if sample.size else np.nan,
                        "stuck": int(of_task["stuck"].sum()),
                    }
                )
    return pd.DataFrame(rows)


def shown(losses: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Task 1's final losses as columns and cells of text, for readers."""
    table = losses[(losses["task"] == 1) & (losses["loss"] == "final")]
    before_chosen = list(losses.columns).index("chosen")
    keys = [key for key in losses.columns[:before_chosen] if key in _ALWAYS or table[key].nunique() > 1]
    columns: dict[str, list[str]] = {key.replace("_", " "): [str(value) for value in table[key]] for key in keys}
    if table["learning_rate"].nunique() > 1:
        columns["chosen"] = ["?" if pd.isna(value) else "✓" if value else "" for value in table["chosen"]]
    columns["runs"] = [str(value) for value in table["runs"]]
    columns["mean"] = [_number(value) for value in table["mean"]]
    intervals = zip(table["mean_low"], table["mean_high"], strict=True)
    columns["95 % interval"] = [f"{_number(low)} – {_number(high)}" for low, high in intervals]
    for name in ("sd", "median", "best", "worst"):
        columns[name] = [_number(value) for value in table[name]]
    columns["stuck"] = [str(value) for value in table["stuck"]]
    if table["diverged"].any():
        columns["diverged"] = [str(value) for value in table["diverged"]]
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.4f}" if abs(value) < 100 else f"{value:.4g}"


def as_markdown(losses: pd.DataFrame) -> str:
    """Task 1's final losses as a Markdown table."""
    return "Final loss of task 1, by cell.\n\n" + markdown(*shown(losses))


def as_text(losses: pd.DataFrame) -> str:
    """Task 1's final losses in aligned columns, for the terminal; of several learning rates the chosen one."""
    refused = losses["chosen"].eq(False)
    title = "Final loss of task 1" + (", at the chosen learning rate" if refused.any() else "")
    return title + "\n\n" + aligned(*shown(losses[~refused]))


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as a Markdown table."""
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, ["---"] * len(header), *rows))


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns for the terminal: names to the left, numbers to the right."""
    widths = [max(len(line[i]) for line in (header, *rows)) for i in range(len(header))]
    words = ("model", "data", "setting", "of which", "claim", "verdict", "decided by")
    lines = []
    for line in (header, ["─" * width for width in widths], *rows):
        padded = (
            text.ljust(width) if name in words else text.rjust(width)
            for text, width, name in zip(line, widths, header, strict=True)
        )
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines) + "\n"
