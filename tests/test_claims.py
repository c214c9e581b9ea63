"""Verdicts on runs whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from mmoe_repro import config
from mmoe_repro.claims import CORRELATIONS, MODELS, PARTS, judge

SETTINGS = OmegaConf.to_container(OmegaConf.load(config.folder() / "claims" / "paper.yaml"))
PEARSON = {0.5: 0.07, 0.9: 0.31, 1.0: 0.996}
#: Mean and standard deviation of losses with which every claim holds, by far.
PAPERLIKE = {
    "shared_bottom": {0.5: (0.30, 0.15), 0.9: (0.24, 0.13), 1.0: (0.18, 0.12)},
    "omoe": {0.5: (0.15, 0.050), 0.9: (0.10, 0.030), 1.0: (0.070, 0.010)},
    "mmoe": {0.5: (0.078, 0.012), 0.9: (0.074, 0.011), 1.0: (0.070, 0.010)},
}


def runs(table, count=200, seed=0):
    """Losses of lognormal runs, paired by a common part, the same for both columns."""
    generator = np.random.default_rng(seed)
    shared = generator.normal(size=count)
    cells = {}
    for model, by_correlation in table.items():
        for correlation, (mean, sd) in by_correlation.items():
            normal = 0.6 * shared + 0.8 * generator.normal(size=count)
            width = np.sqrt(np.log1p((sd / mean) ** 2))
            cells[model, correlation] = pd.Series(mean * np.exp(width * normal - width**2 / 2))
    # The lowest runs of all models are alike.
    for losses in cells.values():
        losses[generator.choice(count, count // 10, replace=False)] = generator.uniform(0.039, 0.041, count // 10)
    return {"final_loss": cells, "test_loss": cells}


def verdicts(losses, pearson=PEARSON):
    return {verdict.id: verdict for verdict in judge(SETTINGS, losses, pearson)}


def test_the_claims_are_those_of_the_paper_each_with_its_reason():
    claims = {name: claim for name, claim in SETTINGS.items() if name != "level"}
    assert list(claims) == ["F2", "F3", "C1", "C2a", "C2b", "C3", "T1", "T2", "T3"]
    assert set(PARTS) == set(claims) - {"F2"}
    for claim in claims.values():
        assert claim["says"].endswith(".") and len(claim["reason"]) > 10


def test_runs_like_the_papers_reproduce_every_claim():
    found = verdicts(runs(PAPERLIKE))
    assert {name: verdict.verdict for name, verdict in found.items()} == dict.fromkeys(found, "reproduced")
    for name, verdict in found.items():
        assert verdict.p < 0.05 and np.isnan(verdict.runs_needed)
        exact = name == "F2"
        assert exact or verdict.low <= verdict.effect <= verdict.high, name


def test_the_opposite_contradicts_every_claim():
    names = {"shared_bottom": "mmoe", "omoe": "omoe", "mmoe": "shared_bottom"}
    turned = {names[m]: dict(zip(CORRELATIONS, reversed(by.values()), strict=True)) for m, by in PAPERLIKE.items()}
    turned["omoe"] = {p: (mean / 3, sd / 3) for p, (mean, sd) in turned["omoe"].items()}
    losses = runs(turned)
    losses["test_loss"] = {**losses["test_loss"], ("omoe", 1.0): losses["test_loss"]["omoe", 1.0] / 4}
    found = verdicts(losses, {0.5: 0.9, 0.9: 0.5, 1.0: 0.2})
    assert {name: verdict.verdict for name, verdict in found.items()} == dict.fromkeys(found, "contradicted")
    assert all(verdict.p < 0.05 for verdict in found.values())


def test_a_failed_difference_test_is_no_likeness():
    """Twelve runs do not show a difference at p = 1, and that is not said to be likeness."""
    found = verdicts(runs(PAPERLIKE, count=12))["C2b"]
    assert found.verdict == "inconclusive"
    assert 12 < found.runs_needed < 2_000


def test_a_best_of_50_is_measured_with_more_runs_than_50():
    found = verdicts(runs(PAPERLIKE, count=50))["T3"]
    assert found.verdict == "inconclusive" and np.isnan(found.low) and found.runs_needed == 51
    assert np.isfinite(verdicts(runs(PAPERLIKE, count=51))["T3"].low)


def test_runs_needed_do_settle_the_claim():
    few = verdicts(runs(PAPERLIKE, count=12))["C2b"]
    settled = [
        verdicts(runs(PAPERLIKE, count=int(few.runs_needed), seed=seed))["C2b"].verdict == "reproduced"
        for seed in range(5)
    ]
    assert sum(settled) >= 3


def test_models_that_do_not_differ_are_not_said_to():
    """Of models and correlations that are all alike no claim of a difference is reproduced."""
    alike = {model: dict.fromkeys(CORRELATIONS, (0.1, 0.03)) for model in MODELS}
    for seed in range(4):
        found = verdicts(runs(alike, 60, seed))
        assert "reproduced" not in {found[name].verdict for name in ("F3", "C1", "C2a", "C2b", "C3", "T1", "T2")}


def test_missing_cells_are_named():
    losses = runs({model: by for model, by in PAPERLIKE.items() if model != "omoe"})
    found = verdicts(losses, {})
    assert {name: verdict.verdict for name, verdict in found.items()} == {
        **dict.fromkeys(("F2", "C1", "C2a", "C2b", "C3", "T1", "T2", "T3"), "untested"),
        "F3": "reproduced",
    }
    assert found["C2b"].missing == (("omoe", 1.0), ("omoe", 0.5))


def test_only_runs_that_all_cells_have_are_compared():
    losses = runs(PAPERLIKE)
    whole = verdicts(losses)["F3"].effect
    with_more = {
        key: pd.concat([value, pd.Series([99.0], index=[5_000])]) for key, value in losses["final_loss"].items()
    }
    with_more["shared_bottom", 0.5] = losses["final_loss"]["shared_bottom", 0.5]
    with_more["shared_bottom", 1.0] = losses["final_loss"]["shared_bottom", 1.0]
    assert verdicts({**losses, "final_loss": with_more})["F3"].effect == pytest.approx(whole)
