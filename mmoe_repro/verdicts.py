"""What a sweep says of the paper's claims: `verdicts.csv`, `verdicts.md`, and the table in the terminal."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mmoe_repro.claims import CORRELATIONS, MODELS, Key, Verdict, judge
from mmoe_repro.results import SweptCell
from mmoe_repro.tables import aligned, label_pearson, markdown

#: Keys of a cell that a claim compares; what differs otherwise is judged apart.
_COMPARED = ("cell", "model", "correlation", "learning_rate")
#: So many groups of cells of another folder have a column of their own.
_SHOWN_APART = 4
_COLUMNS = ["id", "verdict", "part", "effect", "low", "high", "bound", "above", "p", "runs_needed", "missing", "says"]


@dataclass(frozen=True)
class Judged:
    """Cells of a sweep that differ in nothing but what the claims compare, and what they say.

    Attributes:
        keys: what tells them from the sweep's other cells; empty if there are none.
        cells: of each model and correlation one.
        verdicts: one a claim.
    """

    keys: dict[str, Any]
    cells: list[SweptCell]
    verdicts: list[Verdict]


def judge_sweep(
    settings: Mapping[str, Any], cells: Sequence[SweptCell], chosen: Mapping[str, bool | None], runs: pd.DataFrame
) -> list[Judged]:
    """Judge the claims on the cells of a sweep, apart for each data law and every other setting that was swept.

    Args:
        settings: `conf/claims/paper.yaml`.
        cells: of the sweep.
        chosen: by cell, whether its learning rate is the chosen one; where none was chosen the rates are judged apart.
        runs: `runs.parquet`.
    """
    judged = [cell for cell in cells if chosen[cell.cell.identity] is not False]
    undecided = any(chosen[cell.cell.identity] is None for cell in judged)
    apart = [key for key in judged[0].keys if key not in _COMPARED] + (["learning_rate"] if undecided else [])
    groups: dict[tuple[Any, ...], list[SweptCell]] = {}
    for cell in judged:
        groups.setdefault(tuple(cell.keys[key] for key in apart), []).append(cell)
    differ = [len(set(values)) > 1 for values in zip(*groups, strict=True)]
    usable = runs[(runs["task"] == 1) & ~runs["diverged"]]
    return [
        Judged(
            {key: value for key, value, differs in zip(apart, values, differ, strict=True) if differs},
            of_group,
            _judge(settings, of_group, usable),
        )
        for values, of_group in groups.items()
    ]


def verdicts_table(judged: Sequence[Judged]) -> pd.DataFrame:
    """A row per claim: id, verdict, part, effect, low, high, bound, above, p, runs_needed, missing, says.

    As in `Verdict`; where there is more than one group of cells, first the columns that tell them apart.
    """
    return pd.DataFrame([{**group.keys, **_row(verdict)} for group in judged for verdict in group.verdicts])


def _judge(settings: Mapping[str, Any], cells: Sequence[SweptCell], runs: pd.DataFrame) -> list[Verdict]:
    of_cells = {(cell.cell.model, cell.keys["correlation"]): runs[runs["cell"] == cell.cell.identity] for cell in cells}
    return judge_runs(settings, of_cells, {cell.keys["correlation"]: label_pearson(cell) for cell in cells})


def judge_runs(
    settings: Mapping[str, Any], runs: Mapping[Key, pd.DataFrame], label_pearson: Mapping[float, float]
) -> list[Verdict]:
    """Judge the claims on the runs of each cell; arguments as of `judge`.

    `runs` are a row each, of one task, without diverged ones.
    """
    by_seed = {key: of_cell.set_index("seed") for key, of_cell in runs.items()}
    columns = ("final_loss", "test_loss")
    losses = {column: {key: of_cell[column] for key, of_cell in by_seed.items()} for column in columns}
    return judge(settings, losses, label_pearson)


def _row(verdict: Verdict) -> dict[str, Any]:
    missing = "; ".join(f"{model} at {correlation:g}" for model, correlation in verdict.missing)
    return {column: missing if column == "missing" else getattr(verdict, column) for column in _COLUMNS}


def beside(label: str, table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """The verdicts of another folder, by a column's heading and by claim.

    Args:
        label: of the folder.
        table: its `verdicts.csv`. A few groups of cells have a column each; of many the verdicts are counted.
    """
    keys = list(table.columns)[: list(table.columns).index("id")]
    groups = [(label, table)]
    if keys:
        by = table.groupby(keys, sort=False, dropna=False)
        groups = [(f"{label}: {', '.join(map(str, values))}", of_group) for values, of_group in by]
    if len(groups) <= _SHOWN_APART:
        return {name: dict(zip(of_group["id"], of_group["verdict"], strict=True)) for name, of_group in groups}
    counts = table.groupby("id")["verdict"].value_counts()
    told = {
        name: ", ".join(f"{verdict} {count}" for verdict, count in counts[name].items())
        for name in table["id"].unique()
    }
    return {f"{label}: {len(groups)} settings": told}


def _cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The verdicts as columns and cells of text, for readers."""
    keys = list(table.columns)[: list(table.columns).index("id")]
    rows = []
    for _, row in table.iterrows():
        interval = "" if pd.isna(row["low"]) else f"{row['low']:.3g} – {row['high']:.3g}"
        needed = "" if pd.isna(row["runs_needed"]) else f"{row['runs_needed']:,.0f}"
        effect, bound, p = ("" if pd.isna(row[key]) else f"{row[key]:.3g}" for key in ("effect", "bound", "p"))
        holds = f"{'>' if row['above'] else '<'} {bound}" if bound else ""
        of_key = [str(row[key]) for key in keys]
        rows.append([*of_key, row["id"], row["verdict"], row["part"], effect, interval, holds, p, needed])
    header = [*(key.replace("_", " ") for key in keys), "claim", "verdict", "decided by", "effect"]
    return [*header, "95 % interval", "holds if", "p", "runs needed"], rows


def as_text(table: pd.DataFrame, command: Sequence[str]) -> str:
    """The verdicts in aligned columns, for the terminal; one line where no run decides any."""
    if (table.loc[table["id"] != "F2", "verdict"] == "untested").all():
        return f"The paper's claims are untested. What adds their cells: {adding(command)}\n"
    title = "The paper's claims: what all of this sweep's runs say (claims in words: verdicts.md)"
    lines = [title, "", aligned(*_cells(table))]
    if (table["verdict"] == "untested").any():
        lines.append(f"What adds the missing cells: {adding(command)}\n")
    return "\n".join(lines)


def as_markdown(table: pd.DataFrame, command: Sequence[str]) -> str:
    """The verdicts as a Markdown table, and the claims in words below it."""
    words = table.drop_duplicates("id")
    parts = [
        "What the runs of this sweep say of the paper's claims. Of a claim's parts the one named decides.\n",
        markdown(*_cells(table)),
        "".join(f"- **{row['id']}**: {row['says']}\n" for _, row in words.iterrows()),
    ]
    if (table["verdict"] == "untested").any():
        parts.append(f"What adds the missing cells: `{adding(command)}`\n")
    return "\n".join(parts)


def adding(command: Sequence[str]) -> str:
    """The command with the cells that the claims need, too, as a shell takes it."""
    kept = [argument for argument in command if not argument.startswith(("model=", "data.correlation="))]
    correlations = ",".join(f"{correlation:g}" for correlation in CORRELATIONS)
    return shlex.join([*kept, f"model={','.join(MODELS)}", f"data.correlation={correlations}"])
