"""What settings come to, on losses whose margins are known."""

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmoe_repro.atlas import design, figures, findings
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
    assert set(found.index) == {
        *NAMES,
        *(f"{name}_verdict" for name in NAMES),
        *(f"{name}_without_bad_runs" for name in ("T1", "T2")),
    }
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
    table = design.draw(choices, 128)
    generator = np.random.default_rng(0)
    found = pd.DataFrame(
        {name: np.nan for name in NAMES} | {f"{name}_verdict": ["inconclusive"] * len(table) for name in NAMES},
        index=table.index,
    )
    found["F3"] = generator.normal(size=len(table))
    found["T1"] = np.log(table["output_gain"]) - 0.8 + generator.normal(0, 0.1, len(table))
    atlas = findings.find(table, found, read_claims(config))
    sentences = dict(zip(atlas.claims["claim"], findings.in_words(atlas), strict=True))
    assert "; it hangs on output gain (0." in sentences["T1"]
    assert sentences["F3"].endswith("; on what it hangs they do not show.")
    assert sentences["C1"] == "C1 cannot be told: no setting has runs of all its cells."
    assert atlas.claims.set_index("claim").loc["T1", "fit"] > 0.5
    assert list(findings.sure(atlas, "T1")["choice"]) == ["output_gain"]
    assert list(figures.pictures(atlas)) == ["atlas", "holds", "values", "maps"]
    assert [panel.title for panel in figures.pictures(atlas)["values"].panels] == ["T1"]
    held = int((found["T1"] > 0).sum())
    assert sentences["T1"].startswith(f"T1 holds in {100 * held / 128:.0f} % of 128 settings")


def test_settings_without_runs_that_end_badly_are_counted_apart(config, choices):
    generator = np.random.default_rng(0)
    keys = [(model, p) for model in (*MODELS, SMALL) for p in design.CORRELATIONS]
    losses = {key: 0.1 + 0.01 * generator.random(20) for key in keys}
    table = design.draw(choices, 1)
    atlas = findings.find(
        table, findings.margins_of(losses_of(0, losses), table, choices, read_claims(config)), read_claims(config)
    )
    without = atlas.claims.set_index("claim")["without_bad_runs"]
    assert without[["T1", "T2"]].eq(1).all() and without.drop(["T1", "T2"]).eq(0).all()
    sentences = dict(zip(atlas.claims["claim"], findings.in_words(atlas), strict=True))
    assert "T1 holds in 0 % of 1 settings" in sentences["T1"]
    assert "and in 100 % no run ends badly; " in sentences["T1"] and "badly" not in sentences["C1"]


def test_one_bad_run_is_a_difference_of_its_model_alone(config, choices):
    keys = [(model, p) for model in (*MODELS, SMALL) for p in design.CORRELATIONS]
    losses = {key: np.full(20, 0.1) for key in keys}
    losses["shared_bottom", 1.0][0] = 1.0
    table = design.draw(choices, 1)
    found = findings.margins_of(losses_of(0, losses), table, choices, read_claims(config)).loc[0]
    assert not found["T1_without_bad_runs"] and found["T1"] == 0, "at 0.5 there is no difference"
    assert found["T2_without_bad_runs"], "Shared-Bottom is none of those that it compares"


def test_a_difference_of_losses_is_in_the_papers_unit(config, choices):
    """T3's margin is 2/30 of a loss of the paper, less what lies between the models' lowest losses."""
    table = design.draw(choices, 16)
    number = next(i for i in table.index if table.loc[i, "loss"] == "half of it")
    losses = {(model, p): np.full(20, 0.2) for model in (*MODELS, SMALL) for p in design.CORRELATIONS}
    losses["mmoe", 0.5][:] = 0.26
    found = findings.margins_of(losses_of(number, losses), table, choices, read_claims(config)).loc[number]
    assert found["T3"] == pytest.approx(2 / 30 - 0.06 / 2, abs=1e-6)


def test_a_prior_of_one_open_choice_or_none_has_no_pairs(config, choices):
    generator = np.random.default_rng(0)
    verdicts = {f"{name}_verdict": "inconclusive" for name in NAMES}
    for columns in (["gain", "law"], ["gain"], []):
        table = design.draw(choices, 48)[columns]
        margins = {name: generator.normal(size=len(table)) for name in NAMES}
        atlas = findings.find(table, pd.DataFrame(margins, index=table.index).assign(**verdicts), read_claims(config))
        assert atlas.pairs.empty and atlas.importance.empty == (not columns)
        assert set(figures.pictures(atlas)) <= {"atlas", "holds", "values"}
        assert len(findings.in_words(atlas)) == len(NAMES)


def test_few_settings_say_nothing_of_choices(config, choices):
    table = design.draw(choices, 5)
    found = pd.DataFrame(
        {name: np.ones(5) for name in NAMES} | {f"{name}_verdict": "reproduced" for name in NAMES}, index=table.index
    )
    atlas = findings.find(table, found, read_claims(config))
    assert atlas.importance.empty and atlas.claims["share"].eq(1).all()
    assert "takes 40 settings" in findings.in_words(atlas)[0]
