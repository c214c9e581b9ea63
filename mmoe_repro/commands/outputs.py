"""What a sweep leaves: its tables, figures and page, and what the terminal shows."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from mmoe_repro.errors import UsageError
from mmoe_repro.findings.sweep_findings import Findings
from mmoe_repro.findings.verdicts import keys_apart
from mmoe_repro.runs.curves import curves_by_cell, mean_curves
from mmoe_repro.runs.files import alone, write_atomically, write_table
from mmoe_repro.runs.results import write_manifest
from mmoe_repro.text import latex
from mmoe_repro.views import figure_files
from mmoe_repro.views.page import render
from mmoe_repro.views.panels import Picture
from mmoe_repro.views.tables import losses_markdown, losses_shown, verdicts_markdown, verdicts_shown

#: This many groups of cells of another folder have a column of their own.
_SHOWN_APART = 4


@contextmanager
def as_only_writer(results: Path) -> Iterator[None]:
    """Leave the files of one command, never some of one and some of another; wait while another writes its own."""

    def wait() -> None:
        print(f"mmoe-repro: waiting for another command, which writes to {results}", file=sys.stderr, flush=True)

    with alone(results, wait):
        yield


def write_losses(results: Path, findings: Findings) -> None:
    """Write `losses.csv`, `losses.md`, and the manifest of the sweep's tables."""
    write_table(results / "losses.csv", findings.losses)
    write_atomically(results / "losses.md", losses_markdown(findings.losses).encode())
    write_manifest(results)


def write_figures(results: Path, pictures: Mapping[str, Picture]) -> list[Path]:
    """Draw the sweep's figures that are not there yet; return the PNG files."""
    return figure_files.save(results / "figures", pictures)


def write_verdicts(
    results: Path, findings: Findings, pictures: Mapping[str, Picture], beside: Mapping[str, Mapping[str, str]]
) -> None:
    """Write `verdicts.csv`, `verdicts.md`, `trainability.csv`, `joint_outcomes.csv` and `report.html`.

    Args:
        results: the sweep's folder.
        findings: what it says.
        pictures: of it.
        beside: verdicts of other folders to show on the page, by heading and claim.
    """
    write_table(results / "verdicts.csv", findings.verdicts)
    write_atomically(results / "verdicts.md", verdicts_markdown(findings.verdicts, findings.swept.command).encode())
    for name in ("trainability", "joint_outcomes"):
        table: pd.DataFrame = getattr(findings, name)
        if table.empty:
            (results / f"{name}.csv").unlink(missing_ok=True)  # of an earlier command
        else:
            write_table(results / f"{name}.csv", table)
    write_atomically(results / "report.html", render(findings, pictures, beside).encode())


def write_latex(results: Path, findings: Findings) -> list[Path]:
    """Write task 1's losses and the verdicts as LaTeX tables; return the files."""
    tables = {"losses.tex": losses_shown(findings.losses), "verdicts.tex": verdicts_shown(findings.verdicts)}
    for name, table in tables.items():
        write_atomically(results / name, latex(*table).encode())
    return [results / name for name in tables]


def write_tensorboard(results: Path, findings: Findings) -> list[Path]:
    """Write each cell's mean curves for TensorBoard, of the runs that did not diverge; return their folder.

    Raises:
        UsageError: TensorBoard is not installed, or the folder has no curves.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError("formats=[tensorboard]: pip install tensorboard, which writes its files") from None
    path, folder = results / "curves.parquet", results / "tensorboard"
    if not path.exists():
        raise UsageError(f"formats=[tensorboard]: there is no {path}")
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier command, whose curves would be drawn, too
    diverged = findings.swept.runs.set_index(["cell", "seed", "task"])["diverged"]
    for curves in curves_by_cell(path):
        kept = curves.join(diverged, ["cell", "seed", "task"]).query("not diverged")
        for cell, of_cell in mean_curves(kept).groupby("cell"):  # none where all runs diverged
            with SummaryWriter(folder / str(cell)) as writer:
                for task, step, loss in of_cell[["task", "step", "mean"]].itertuples(index=False):
                    writer.add_scalar(f"mean loss of task {task}", loss, step)
    return [folder]


#: What `report` writes besides the page, if asked.
FORMATS = {"latex": write_latex, "tensorboard": write_tensorboard}


def verdicts_of(folder: str, table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """The verdicts of another folder, by a column's heading and by claim.

    Args:
        folder: its name, for the heading.
        table: its `verdicts.csv`. A few groups of cells have a column each; of many the verdicts are counted.
    """
    keys = keys_apart(table)
    groups = [(folder, table)]
    if keys:
        by = table.groupby(keys, sort=False, dropna=False)
        groups = [(f"{folder}: {', '.join(map(str, values))}", of_group) for values, of_group in by]
    if len(groups) <= _SHOWN_APART:
        return {name: dict(zip(of_group["id"], of_group["verdict"], strict=True)) for name, of_group in groups}
    counts = table.groupby("id")["verdict"].value_counts()
    summed = {
        name: ", ".join(f"{verdict} {count}" for verdict, count in counts[name].items())
        for name in table["id"].unique()
    }
    return {f"{folder}: {len(groups)} settings": summed}
