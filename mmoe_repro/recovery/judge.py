"""What the paper's claims come to at each of the settings that were confirmed.

A setting that was fitted to Figures 3 to 5 shows only that one exists; in how many of the nearest a claim holds says
more.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mmoe_repro.findings.claim_comparisons import CORRELATIONS, MODELS, Key
from mmoe_repro.findings.paper_runs import SMALL
from mmoe_repro.findings.verdicts import Judged, judge_runs, verdicts_table
from mmoe_repro.recovery.candidate import Candidate
from mmoe_repro.recovery.score import Curve
from mmoe_repro.runs.results import label_pearson, load
from mmoe_repro.settings.cell import Cell
from mmoe_repro.training.chunk import open_store


def claimed_cells(candidate: Candidate) -> dict[Key, Cell]:
    """The cells that the claims compare: Figure 4's, and for F3 Figure 3's network."""
    cells = {
        (model, correlation): candidate.setting.cell(Curve("figure4", model, correlation))
        for model in MODELS
        for correlation in CORRELATIONS
    }
    small = {(SMALL, p): candidate.figure3.cell(Curve("figure3", "shared_bottom", p)) for p in CORRELATIONS}
    return {**cells, **small}


def judge_candidates(
    results: Path, candidates: Sequence[Candidate], seeds: range, claims: Mapping[str, Any]
) -> pd.DataFrame:
    """Judge the claims on the stored runs of each candidate.

    Returns:
        as `verdicts.csv` of a sweep, with a first column `setting`, the candidate's name.
    """
    judged = []
    for candidate in candidates:
        runs, pearson = {}, {}
        for key, cell in claimed_cells(candidate).items():
            stored, missing = load(open_store(results, cell), list(seeds))
            assert not missing
            runs[key] = stored[(stored["task"] == 1) & ~stored["diverged"]]
            pearson[key[1]] = label_pearson(cell.data)
        verdicts = judge_runs(claims, runs, pearson, paper_loss=candidate.factor)
        judged.append(Judged({"setting": candidate.name}, [], verdicts))
    return verdicts_table(judged)
