"""What one Hydra job asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmoe_repro.settings.cell import Cell


@dataclass(frozen=True)
class Job:
    """Runs of one cell.

    Attributes:
        cell: the setting.
        seeds: of the reported runs.
        tuning_seeds: of the runs that only serve to choose the learning rate.
        results: the sweep's folder.
        workers: processes; None for one per core.
        overrides: of the job, by key.
        claims: by what the paper's claims are judged; see `conf/claims/paper.yaml`.
        paper_loss: how many squared errors a loss of the paper is taken to be.
        report_rates: `all`, or `chosen` to train the reported runs of the chosen learning rates only.
        train: whether to train what is missing.
        runs_per_job: of a launcher's job; None for what takes it about ten minutes.
    """

    cell: Cell
    seeds: range
    tuning_seeds: range
    results: Path
    workers: int | None
    overrides: Mapping[str, str]
    claims: Mapping[str, Any]
    paper_loss: float
    report_rates: str
    train: bool
    runs_per_job: int | None
