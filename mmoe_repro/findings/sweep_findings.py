"""Everything that a sweep says, computed once, before anything is drawn or written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from mmoe_repro.findings.dead_units import dead_units_table, with_live_units
from mmoe_repro.findings.gates import gates_summary
from mmoe_repro.findings.headlines import headlines
from mmoe_repro.findings.joint_outcomes import joint_outcomes_table
from mmoe_repro.findings.losses import choose_rates, losses_table
from mmoe_repro.findings.trainability import changes_table, trainability_table
from mmoe_repro.findings.verdicts import Judged, judge_sweep, verdicts_table
from mmoe_repro.runs.results import Swept


@dataclass(frozen=True)
class Findings:
    """What a sweep's runs say.

    Attributes:
        swept: the sweep.
        chosen: by cell, whether its learning rate is the chosen one; None where none was chosen.
        runs: task 1's runs that did not diverge, with `live_units`.
        losses: `losses.csv`.
        judged: the verdicts on the paper's claims, for each group of cells that is judged apart.
        trainability: `trainability.csv`; no rows unless a range of settings was swept.
        changes: every setting of a range against its first; no rows without a range.
        joint_outcomes: how many runs learnt both tasks, one or none, by cell; no rows without the claims' models.
        dead_units: stuck runs and live units by cell.
        gates: how the gates share the experts, by cell; no rows without gates.
        claims: by what the claims were judged.
    """

    swept: Swept
    chosen: Mapping[str, bool | None]
    runs: pd.DataFrame
    losses: pd.DataFrame
    judged: Sequence[Judged]
    trainability: pd.DataFrame
    changes: pd.DataFrame
    joint_outcomes: pd.DataFrame
    dead_units: pd.DataFrame
    gates: pd.DataFrame
    claims: Mapping[str, Any]

    @cached_property
    def headlines(self) -> dict[str, str]:
        """What the runs surely show, a sentence for each picture that shows it."""
        return headlines(self.swept.cells, self.chosen, self.runs, self.losses, self.gates)

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """`verdicts.csv`."""
        return verdicts_table(self.judged)


def find(swept: Swept, claims: Mapping[str, Any]) -> Findings:
    """Work out what a sweep says.

    Args:
        swept: the sweep, with at least one finished run.
        claims: `conf/claims/paper.yaml`.
    """
    cells = swept.cells
    chosen = choose_rates(cells, swept.tuning)
    judged = judge_sweep(claims, cells, chosen, swept.runs, paper_loss=swept.paper_loss)
    runs = swept.runs[(swept.runs["task"] == 1) & ~swept.runs["diverged"]]
    runs = with_live_units(cells, runs)
    return Findings(
        swept=swept,
        chosen=chosen,
        runs=runs,
        losses=losses_table(cells, swept.runs, chosen),
        judged=judged,
        trainability=trainability_table(cells, swept.runs),
        changes=changes_table(cells, runs),
        joint_outcomes=joint_outcomes_table(judged, swept.runs, claims),
        dead_units=dead_units_table(cells, runs),
        gates=gates_summary(cells, runs, swept.gates),
        claims=claims,
    )
