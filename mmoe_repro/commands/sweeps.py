"""`mmoe-repro list` and `mmoe-repro compare`: the sweeps that are there, and two of them beside each other."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd

from mmoe_repro.errors import UsageError
from mmoe_repro.findings.answer import about_the_paper, groups
from mmoe_repro.findings.comparison import losses_compared, settings_that_differ
from mmoe_repro.names import readable
from mmoe_repro.runs.results import read_losses, read_sweep, read_verdicts
from mmoe_repro.text import aligned, terminal_width

#: What the two sweeps of a comparison are called.
_LETTERS = ("A", "B")


def show_list(arguments: Sequence[str]) -> int:
    """Print the sweeps below a folder: name, date, cells, runs, how many of the paper's claims hold.

    Raises:
        UsageError: there is no such folder, or no sweep in it.
    """
    if len(arguments) > 1:
        raise UsageError(f"list takes one folder; got {len(arguments)}")
    root = Path(arguments[0] if arguments else "results")
    if not root.is_dir():
        raise UsageError(f"{root}: there is no such folder; mmoe-repro sweep makes results/sweep")
    found = sorted(path.parent for path in root.rglob("losses.csv") if (path.parent / "runs.parquet").exists())
    if not found:
        raise UsageError(f"{root}: holds no sweep; mmoe-repro sweep makes results/sweep")
    rows = [_row(root, results) for results in found]
    print(aligned(["sweep", "date", "cells", "runs", "what"], rows, terminal_width(), ("date",), "what"))
    return 0


def _row(root: Path, results: Path) -> list[str]:
    losses = read_losses(results).query("task == 1 and loss == 'final'")
    date = datetime.fromtimestamp((results / "losses.csv").stat().st_mtime).strftime("%Y-%m-%d %H:%M")
    judged = (results / "verdicts.csv").exists()
    return [
        str(results.relative_to(root)) if results != root else results.name,
        date,
        f"{len(losses):,}",
        f"{int(losses['runs'].sum()):,}",
        _held(read_verdicts(results)) if judged else "",
    ]


def _held(verdicts: pd.DataFrame) -> str:
    if not about_the_paper(verdicts):
        return "not about the paper's claims"
    of_groups = groups(verdicts)
    counts = [
        (int((one["verdict"] == "reproduced").sum()), int((one["verdict"] == "contradicted").sum()))
        for _, one in of_groups
    ]
    tested = max(int((one["verdict"] != "untested").sum()) for _, one in of_groups)
    held, against = zip(*counts, strict=True)
    spans = [str(min(of)) if min(of) == max(of) else f"{min(of)} to {max(of)}" for of in (held, against)]
    among = f" at {len(of_groups)} settings" if len(of_groups) > 1 else ""
    return f"{spans[0]} of {tested} claims hold, {spans[1]} contradicted{among}"


def show_comparison(arguments: Sequence[str]) -> int:
    """Print in which settings two sweeps differ, and how their losses do.

    Raises:
        UsageError: not two folders, or one that holds no sweep.
    """
    if len(arguments) != 2:
        raise UsageError("compare takes two folders: mmoe-repro compare results/one results/other")
    one, other = (read_sweep(Path(folder)) for folder in arguments)
    print("".join(f"{letter}  {folder}\n" for letter, folder in zip(_LETTERS, arguments, strict=True)))
    differ = settings_that_differ(one, other)
    if differ.empty:
        print("All settings are the same.\n")
    else:
        # What is left beside the names, for either.
        most = max(12, (terminal_width() - differ["setting"].map(len).max() - 4) // 2)
        rows = [[name, *(_short(str(value), most) for value in values)] for name, *values in differ.to_numpy()]
        print(aligned(["setting", *_LETTERS], rows))
    table = losses_compared(one, other)
    if table.empty:
        print("No model and task correlation is in both.")
        return 0
    numbers = ["one", "other", "ratio", "low", "high", "pairs"]
    keys = [key for key in table.columns if key not in numbers]
    rows = []
    for _, row in table.iterrows():
        interval = "–" if pd.isna(row["low"]) else f"{row['low']:.3f} – {row['high']:.3f}"
        means = [f"{row[name]:.4f}" for name in ("one", "other")]
        pairs = str(row["pairs"]) if row["pairs"] else "none"
        rows.append([*(str(row[key]) for key in keys), *means, f"{row['ratio']:.3f}", interval, pairs])
    print("Mean final loss of task 1\n")
    print(aligned([*map(readable, keys), *_LETTERS, "B ÷ A", "95 % interval", "paired runs"], rows))
    return 0


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
