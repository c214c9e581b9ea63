"""What a sweep's tables say: verdicts, trainability, and the page that shows them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mmoe_repro.report.page import Swept, render
from mmoe_repro.store import write_atomically, write_table
from mmoe_repro.trainability import trainability_table
from mmoe_repro.verdicts import as_markdown, judge_sweep, verdicts_table


def conclude(
    results: Path, swept: Swept, claims: Mapping[str, Any], beside: Mapping[str, Mapping[str, str]] | None = None
) -> pd.DataFrame:
    """Judge the claims, and write `verdicts.csv`, `verdicts.md`, `trainability.csv` and `report.html`.

    Args:
        results: the sweep's folder.
        swept: its tables.
        claims: `conf/claims/paper.yaml`.
        beside: verdicts of other folders to show on the page, by heading and claim.

    Returns:
        `verdicts.csv`.
    """
    judged = judge_sweep(claims, swept.cells, swept.chosen, swept.runs)
    verdicts, trainability = verdicts_table(judged), trainability_table(swept.cells, swept.runs)
    write_table(results / "verdicts.csv", verdicts)
    write_atomically(results / "verdicts.md", as_markdown(verdicts, swept.command).encode())
    if trainability.empty:
        (results / "trainability.csv").unlink(missing_ok=True)  # of an earlier command
    else:
        write_table(results / "trainability.csv", trainability)
    page = render(results.name, swept, judged, trainability, claims, beside or {})
    write_atomically(results / "report.html", page.encode())
    return verdicts
