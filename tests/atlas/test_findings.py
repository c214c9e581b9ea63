"""What settings come to, on losses whose margins are known."""

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmoe_repro.atlas import design, findings
from mmoe_repro.findings import paper_runs
from mmoe_repro.findings.claim_comparisons import MODELS, PARTS
from mmoe_repro.findings.paper_runs import SMALL
from mmoe_repro.settings.claims import read_claims
from mmoe_repro.settings.schema import folder, register

#: Everything that is asked of a setting.
NAMES = [*PARTS, *(f"{claim} unseen" for claim in ("F3", "C1", "C2a", "C2b", "C3"))]


@pytest.fixture(scope="module")
def config():
    register()
    with initialize_config_dir(str(folder()), version_base="1.3"):
        return compose("atlas")


@pytest.fixture(scope="module")
def choices(config):
    return design.read_choices(OmegaConf.to_container(config.choices, resolve=True))


def losses_of(setting, by_cell):
    """Rows of `survey.losses` in which both tasks have the same losses."""
    return pd.concat(
        pd.DataFrame(
            {
                "setting": setting,
                "model": model,
                "correlation": correlation,
                "seed": np.repeat(np.arange(len(losses)), 2),
                "task": np.tile([1, 2], len(losses)),
                "final_loss": np.repeat(np.asarray(losses), 2),
                "test_loss": np.repeat(np.asarray(losses), 2),
            }
        )
        for (model, correlation), losses in by_cell.items()
    )


def test_the_papers_own_runs_hold_every_direction(config, choices):
    paper = {key: losses for key, losses in paper_runs.losses().items() if key[1] != 0.9}
    row = design.draw(choices, 16)
    number = next(i for i in row.index if row.loc[i, "loss"] == "squared error")
    found = findings.margins_of(losses_of(number, paper), row, choices, read_claims(config))
    margins = found.loc[number, list(PARTS)].astype(float)
    assert (margins > 0).all()
    means = {key: losses.mean() for key, losses in paper.items()}
    least = min(means[model, 0.5] / means[model, 1.0] for model in ("shared_bottom", "omoe", "mmoe"))
    assert margins["C1"] == pytest.approx(np.log(least))
    verdicts = found.loc[number, [f"{name}_verdict" for name in PARTS]]
    assert "contradicted" not in set(verdicts) and (verdicts == "reproduced").sum() >= 5


def test_claims_of_means_are_asked_of_unseen_examples_too(config, choices):
    """Models that remember their examples are nearer to these than to others."""
    paper = {key: losses for key, losses in paper_runs.losses().items() if key[1] != 0.9}
    losses = losses_of(0, paper)
    mixture = losses["model"].isin(["omoe", "mmoe"])
    losses["test_loss"] = losses["final_loss"].where(~mixture, 0.5)
    table, claims = design.draw(choices, 1), read_claims(config)
    found = findings.margins_of(losses, table, choices, claims).loc[0]
    assert set(found.index) == {*NAMES, *(f"{name}_verdict" for name in NAMES)}
    mean = losses[~mixture].groupby(["model", "correlation"])["final_loss"].mean()
    assert found["C3"] > 0 and found["C3_verdict"] == "reproduced"
    assert found["C3 unseen"] == pytest.approx(np.log(mean["shared_bottom"].min() / 0.5))
    assert found["C3 unseen_verdict"] == "contradicted"
    assert found["F3 unseen"] == found["F3"], "Figure 3's network is none of the mixtures"
    told = findings.find(table, pd.DataFrame([found], index=[0]), claims)
    says = told.claims.set_index("claim")["says"]
    assert list(says.index[:2]) == ["F3", "F3 unseen"] and "no run has seen" in says["C3 unseen"]
    assert "C3 unseen holds in 0 % of 1 settings" in findings.in_words(told)[list(says.index).index("C3 unseen")]


def test_runs_that_diverged_are_left_out_and_a_cell_of_them_says_nothing(config, choices):
    paper = {key: losses.to_numpy()[:20].copy() for key, losses in paper_runs.losses().items() if key[1] != 0.9}
    paper["mmoe", 0.5][:] = np.nan
    table = design.draw(choices, 1)
    found = findings.margins_of(losses_of(0, paper), table, choices, read_claims(config))
    assert found.loc[0, ["C1", "C2a", "C3", "T1", "T3"]].isna().all()
    assert np.isfinite(found.loc[0, "F3"])


@pytest.mark.slow
def test_words_name_what_a_claim_hangs_on(config, choices):
    table = design.draw(choices, 96)
    generator = np.random.default_rng(0)
    found = pd.DataFrame(
        {name: np.nan for name in NAMES} | {f"{name}_verdict": ["inconclusive"] * len(table) for name in NAMES},
        index=table.index,
    )
    found["F3"] = generator.normal(size=len(table))
    found["T1"] = np.log(table["output_gain"]) - 0.8 + generator.normal(0, 0.1, len(table))
    atlas = findings.find(table, found, read_claims(config))
    sentences = dict(zip(atlas.claims["claim"], findings.in_words(atlas), strict=True))
    assert "it hangs on output gain (most at" in sentences["T1"]
    assert sentences["F3"].endswith("none of the choices explains where.")
    held = int((found["T1"] > 0).sum())
    assert sentences["T1"].startswith(f"T1 holds in {100 * held / 96:.0f} % of 96 settings")


def test_settings_without_a_difference_are_counted_apart(config, choices):
    """Of models whose runs all end well, neither has more that end badly."""
    generator = np.random.default_rng(0)
    keys = [(model, p) for model in (*MODELS, SMALL) for p in design.CORRELATIONS]
    losses = {key: 0.1 + 0.01 * generator.random(20) for key in keys}
    table = design.draw(choices, 1)
    atlas = findings.find(
        table, findings.margins_of(losses_of(0, losses), table, choices, read_claims(config)), read_claims(config)
    )
    level = atlas.claims.set_index("claim")["level"]
    assert level[["T1", "T2"]].eq(1).all() and level.drop(["T1", "T2"]).eq(0).all()
    sentences = dict(zip(atlas.claims["claim"], findings.in_words(atlas), strict=True))
    assert "T1 holds in 0 % of 1 settings" in sentences["T1"]
    assert "and in 100 % there is no difference; " in sentences["T1"] and "no difference" not in sentences["C1"]


def test_few_settings_say_nothing_of_choices(config, choices):
    table = design.draw(choices, 5)
    found = pd.DataFrame(
        {name: np.ones(5) for name in NAMES} | {f"{name}_verdict": "reproduced" for name in NAMES}, index=table.index
    )
    atlas = findings.find(table, found, read_claims(config))
    assert atlas.importance.empty and atlas.claims["share"].eq(1).all()
    assert "takes 40 settings" in findings.in_words(atlas)[0]
