"""Findings as tables of text: for the terminal, and as Markdown."""

import shlex
import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmoe_repro.findings.answer import AT_MOST, about_the_paper, answer, runs_that_settle
from mmoe_repro.findings.claim_comparisons import CORRELATIONS, MODELS
from mmoe_repro.findings.verdicts import keys_apart
from mmoe_repro.names import readable
from mmoe_repro.text import aligned, code, duration, inline, markdown, terminal_width

#: Keys that the loss table shows even where all cells share them.
_ALWAYS = ("model", "correlation")
#: Headings, and rows of text.
Table = tuple[list[str], list[list[str]]]


# -- losses --------------------------------------------------------------------------------------


def losses_shown(losses: pd.DataFrame) -> Table:
    """Task 1's final losses as columns and cells of text, for readers."""
    table = losses[(losses["task"] == 1) & (losses["loss"] == "final")]
    before_chosen = list(losses.columns).index("chosen")
    named = [key for key in losses.columns[:before_chosen] if key != "cell"]
    keys = [key for key in named if key in _ALWAYS or table[key].nunique() > 1]
    columns: dict[str, list[str]] = {readable(key): [str(value) for value in table[key]] for key in keys}
    if table["chosen"].eq(False).any():
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


def losses_markdown(losses: pd.DataFrame) -> str:
    """Task 1's final losses as a Markdown table."""
    return "Final loss of task 1, by cell.\n\n" + markdown(*losses_shown(losses))


def losses_text(losses: pd.DataFrame) -> str:
    """Task 1's final losses in aligned columns, for the terminal; of several learning rates the chosen one."""
    refused = losses["chosen"].eq(False)
    title = "Final loss of task 1" + (", at the chosen learning rate" if refused.any() else "")
    header, rows = losses_shown(losses[~refused])
    return title + "\n\n" + aligned(header, rows, terminal_width(), optional=("median", "best", "worst", "stuck", "sd"))


# -- verdicts ------------------------------------------------------------------------------------


def verdicts_shown(table: pd.DataFrame) -> Table:
    """The verdicts as columns and cells of text, for readers."""
    keys = keys_apart(table)
    rows = []
    for _, row in table.iterrows():
        interval = "" if pd.isna(row["low"]) else f"{row['low']:.3g} – {row['high']:.3g} ({row['confidence']:.2%})"
        needed = "" if pd.isna(row["runs_needed"]) else f"{row['runs_needed']:,.0f}"
        effect, bound, p = ("" if pd.isna(row[key]) else f"{row[key]:.3g}" for key in ("effect", "bound", "p"))
        holds = f"{'>' if row['above'] else '<'} {bound}" if bound else ""
        of_key = [str(row[key]) for key in keys]
        rows.append([*of_key, row["id"], row["verdict"], row["part"], effect, interval, holds, p, needed])
    header = [*(key.replace("_", " ") for key in keys), "claim", "verdict", "decided by", "effect"]
    return [*header, "interval", "holds if", "p", "runs needed"], rows


def verdicts_text(table: pd.DataFrame, command: Sequence[str]) -> str:
    """The verdicts in aligned columns, for the terminal; one line where no run decides any."""
    if not about_the_paper(table):
        return f"The paper's claims are untested. What adds their cells: {adding(command)}\n"
    keys = keys_apart(table)
    rows = []
    for _, row in table.iterrows():
        effect = "" if pd.isna(row["effect"]) else f"{row['effect']:.3g}"
        interval = "" if pd.isna(row["low"]) else f"{row['low']:.3g} – {row['high']:.3g}"
        holds = f"{'>' if row['above'] else '<'} {row['bound']:.3g}" if effect else ""
        paper = "" if pd.isna(row["paper"]) else f"{row['paper']:.3g}"
        of_key = [str(row[key]) for key in keys]
        rows.append([*of_key, row["id"], row["verdict"], row["says"], effect, interval, holds, paper])
    header = [*map(readable, keys), "claim", "verdict", "in words", "effect", "interval", "holds if", "paper"]
    shown = aligned(header, rows, terminal_width(), ("paper", "holds if", "interval"), "in words")
    return "\n".join(["The paper's claims, by all runs of this sweep (what was compared: verdicts.md)", "", shown])


def verdicts_markdown(table: pd.DataFrame, command: Sequence[str]) -> str:
    """The verdicts as a Markdown table, and the claims in words below it."""
    words = table.drop_duplicates("id")
    parts = [
        "What the runs of this sweep say of the paper's claims. Of a claim's parts the one named decides.\n",
        markdown(*verdicts_shown(table)),
        "".join(f"- **{inline(row['id'])}**: {inline(row['says'])}\n" for _, row in words.iterrows()),
    ]
    if lacks_cells(table):
        parts.append(f"What adds the missing cells: {code(adding(command))}\n")
    return "\n".join(parts)


def answer_text(table: pd.DataFrame, command: Sequence[str], seconds: float, cells: int, runs: int) -> str:
    """What a sweep comes to in a sentence, and the commands that settle what it leaves open, for the terminal.

    Args:
        table: `verdicts.csv`.
        command: that repeats the sweep.
        seconds: that a run takes on all cores together.
        cells: of the sweep.
        runs: of each cell.
    """
    lines = [answer(table)]
    settled = runs_that_settle(table, runs)
    if lacks_cells(table):
        lines.append(f"What adds the missing cells: {adding(command)}")
    elif settled is not None and settled[0] > runs:
        more, claims = settled
        open_ = set(table.loc[table["verdict"] == "inconclusive", "id"])
        what = "the rest" if set(claims) == open_ else ", ".join(claims)
        about = duration(seconds * cells * (more - runs))
        lines.append(f"What would settle {what}, in about {about}: {with_runs(command, more)}")
    elif table["verdict"].eq("inconclusive").any() and runs >= AT_MOST:
        lines.append("What is open hangs on next to nothing here: ten times as many runs would hardly settle it.")
    elif table["verdict"].eq("inconclusive").any():
        lines.append(f"What may settle the rest: {with_runs(command, 2 * runs)}")
    if (table.loc[table["id"] == "F3", "verdict"] == "untested").any():
        lines.append("F3 is about Figure 3's network: mmoe-repro sweep experiment=recovered_figure3")
    return "\n".join(line if "mmoe-repro" in line else textwrap.fill(line, terminal_width()) for line in lines) + "\n"


def with_runs(command: Sequence[str], runs: int) -> str:
    """The command with another number of runs, as a shell takes it; what is trained already is not trained again."""
    return shlex.join([*(argument for argument in command if not argument.startswith("runs=")), f"runs={runs}"])


def lacks_cells(table: pd.DataFrame) -> bool:
    """Whether a claim is untested that the cells of `adding` would decide; F3 is about Figure 3's network.

    A sweep of that network is about F3 alone.
    """
    untested = set(table.loc[table["verdict"] == "untested", "id"])
    return bool(untested - {"F3"}) and "F3" in untested


def adding(command: Sequence[str]) -> str:
    """The command with the cells that the claims need, too, as a shell takes it."""
    kept = [argument for argument in command if not argument.startswith(("model=", "data.correlation="))]
    correlations = ",".join(f"{correlation:g}" for correlation in CORRELATIONS)
    return shlex.join([*kept, f"model={','.join(MODELS)}", f"data.correlation={correlations}"])
