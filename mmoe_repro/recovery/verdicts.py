"""What the paper's claims come to at each of the settings that were confirmed.

A setting that was fitted to Figures 3 to 5 shows only that one exists; in how many of the nearest a claim holds says
more.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.utils import instantiate

from mmoe_repro.cell import open_store
from mmoe_repro.claims import CORRELATIONS, MODELS, Key
from mmoe_repro.config import Cell
from mmoe_repro.recovery.answer import Candidate
from mmoe_repro.recovery.score import Curve
from mmoe_repro.results import load
from mmoe_repro.verdicts import Judged, judge_runs, verdicts_table


def claimed_cells(candidate: Candidate) -> dict[Key, Cell]:
    """The cells that the claims compare; a correlation that was not fitted has the rate of 1."""
    found = {}
    for model in MODELS:
        for correlation in CORRELATIONS:
            curve = Curve("figure4", model, correlation)
            rate = candidate.rates.get(curve, candidate.rates[curve._replace(correlation=1.0)])
            found[model, correlation] = candidate.setting.cell(curve, rate)
    return found


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
            pearson[key[1]] = instantiate(cell.settings["data"]).label_pearson
        judged.append(Judged({"setting": candidate.name}, [], judge_runs(claims, runs, pearson)))
    return verdicts_table(judged)
