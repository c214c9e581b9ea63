"""What a sweep says of the paper's claims: `verdicts.csv`, `verdicts.md`, and the table in the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mmoe_repro import paper
from mmoe_repro.findings.claim_comparisons import Key, Verdict, judge
from mmoe_repro.findings.paper_runs import SMALL
from mmoe_repro.runs.results import SweptCell

#: Keys of a cell that a claim compares; what differs otherwise is judged apart.
_COMPARED = ("cell", "model", "correlation", "learning_rate")
_COLUMNS = ["id", "verdict", "size", "part", "effect", "low", "high", "confidence", "bound", "above", "p"]
_COLUMNS += ["paper", "paper_low", "paper_high", "runs_needed", "missing", "says"]


@dataclass(frozen=True)
class Judged:
    """Cells of a sweep that differ in nothing but what the claims compare, and what they say.

    Attributes:
        keys: what sets them apart from the sweep's other cells; empty if there are none.
        cells: of each model and correlation one.
        verdicts: one a claim.
    """

    keys: dict[str, Any]
    cells: list[SweptCell]
    verdicts: list[Verdict]


def judge_sweep(
    settings: Mapping[str, Any],
    cells: Sequence[SweptCell],
    chosen: Mapping[str, bool | None],
    runs: pd.DataFrame,
    *,
    paper_loss: float,
) -> list[Judged]:
    """Judge the claims on the cells of a sweep, apart for each data law and every other setting that was swept.

    Args:
        settings: `conf/claims/paper.yaml`.
        cells: of the sweep.
        chosen: by cell, whether its learning rate is the chosen one; where none was chosen the rates are judged apart.
        runs: `runs.parquet`.
        paper_loss: as of `judge`.
    """
    judged = [cell for cell in cells if chosen[cell.identity] is not False]
    undecided = any(chosen[cell.identity] is None for cell in judged)
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
            _judge(settings, of_group, usable, paper_loss),
        )
        for values, of_group in groups.items()
    ]


def verdicts_table(judged: Sequence[Judged]) -> pd.DataFrame:
    """A row per claim: id, verdict, size, part, effect, low, high, confidence, bound, above, p, paper and what follows.

    That is paper_low, paper_high, runs_needed, missing and says, all as in `Verdict`. Where there is more than one
    group of cells, the columns that tell them apart come first.
    """
    return pd.DataFrame([{**group.keys, **_row(verdict)} for group in judged for verdict in group.verdicts])


def keys_apart(table: pd.DataFrame) -> list[str]:
    """The columns of a `verdicts_table` that tell its groups apart; none where it has one group."""
    columns = list(table.columns)
    return columns[: columns.index("id")]


def _judge(
    settings: Mapping[str, Any], cells: Sequence[SweptCell], runs: pd.DataFrame, paper_loss: float
) -> list[Verdict]:
    of_cells = {key_of(cell): runs[runs["cell"] == cell.identity] for cell in cells}
    pearson = {cell.keys["correlation"]: cell.label_pearson for cell in cells}
    return judge_runs(settings, of_cells, pearson, paper_loss=paper_loss)


def key_of(cell: SweptCell) -> Key:
    """The cell as the claims know it; Figure 3's network is not Figure 4's."""
    model = cell.model.name
    if model == "shared_bottom" and paper.figure_of(cell.model.settings) == "figure3":
        model = SMALL
    return model, cell.keys["correlation"]


def judge_runs(
    settings: Mapping[str, Any],
    runs: Mapping[Key, pd.DataFrame],
    label_pearson: Mapping[float, float],
    *,
    paper_loss: float,
) -> list[Verdict]:
    """Judge the claims on the runs of each cell; arguments as of `judge`.

    `runs` are a row each, of one task, without diverged ones.
    """
    by_seed = {key: of_cell.set_index("seed") for key, of_cell in runs.items()}
    columns = ("final_loss", "test_loss")
    losses = {column: {key: of_cell[column] for key, of_cell in by_seed.items()} for column in columns}
    return judge(settings, losses, label_pearson, paper_loss=paper_loss)


def _row(verdict: Verdict) -> dict[str, Any]:
    missing = "; ".join(f"{_option(model)} at {correlation:g}" for model, correlation in verdict.missing)
    return {column: missing if column == "missing" else getattr(verdict, column) for column in _COLUMNS}


def _option(model: str) -> str:
    """A model as its option is asked for."""
    return "shared_bottom with model.bottom=[16]" if model == SMALL else model
