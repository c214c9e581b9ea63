"""Verdicts on runs whose truth is known, and on the paper's own."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from mmoe_repro import paper
from mmoe_repro.findings import paper_runs
from mmoe_repro.findings.claim_comparisons import CORRELATIONS, MODELS, PARTS, ends_badly, judge
from mmoe_repro.findings.paper_runs import SMALL
from mmoe_repro.settings.schema import folder

SETTINGS = yaml.safe_load((folder() / "claims" / "paper.yaml").read_text())
T1_ALONE = {key: SETTINGS[key] for key in ("level", "bad", "T1")}
DOCUMENT = Path(__file__).parents[2] / "docs" / "claims.md"
SAME = ("verdict", "effect", "low", "high", "p", "confidence")
PEARSON = {0.5: 0.07, 0.9: 0.31, 1.0: 0.996}
#: Typical loss, and share of runs that end badly, with which every claim holds, by far.
PAPERLIKE = {
    "shared_bottom": {0.5: (0.070, 0.60), 0.9: (0.070, 0.50), 1.0: (0.070, 0.40)},
    "omoe": {0.5: (0.075, 0.25), 0.9: (0.065, 0.10), 1.0: (0.055, 0.02)},
    "mmoe": {0.5: (0.066, 0.06), 0.9: (0.058, 0.02), 1.0: (0.050, 0.02)},
    SMALL: {0.5: (0.38, 0.0), 0.9: (0.33, 0.0), 1.0: (0.28, 0.0)},
}


def runs(table, count=200, seed=0):
    """Losses of runs about their typical loss, of which a share ends at 0.4; the same for both columns."""
    generator = np.random.default_rng(seed)
    cells = {}
    for model, by_correlation in table.items():
        for correlation, (typical, share) in by_correlation.items():
            losses = typical * np.exp(generator.normal(0, 0.1, count))
            bad = generator.permutation(count) < share * count
            cells[model, correlation] = pd.Series(np.where(bad, losses + 0.35, losses))
    return {"final_loss": cells, "test_loss": cells}


def verdicts(losses, pearson=PEARSON, settings=SETTINGS, paper_loss=1.0):
    return {verdict.id: verdict for verdict in judge(settings, losses, pearson, paper_loss=paper_loss)}


def of_paper(generator=None, paper_loss=1.0):
    cells = {key: losses / paper_loss for key, losses in paper_runs.losses(generator).items()}
    return {"final_loss": cells, "test_loss": cells}


def test_the_claims_are_those_of_the_paper_each_with_its_reason():
    claims = {name: claim for name, claim in SETTINGS.items() if isinstance(claim, dict)}
    assert list(claims) == ["F2", "F3", "C1", "C2a", "C2b", "C3", "T1", "T2", "T3"]
    assert set(PARTS) == set(claims) - {"F2"}
    for claim in claims.values():
        assert claim["says"].endswith(".") and len(claim["reason"]) > 10


# -- whether the direction holds -----------------------------------------------------------------


def test_runs_like_the_papers_reproduce_every_claim():
    found = verdicts(runs(PAPERLIKE))
    assert {name: verdict.verdict for name, verdict in found.items()} == dict.fromkeys(found, "reproduced")
    for name in PARTS:
        verdict = found[name]
        assert verdict.p < 0.05 and np.isnan(verdict.runs_needed) and verdict.confidence == 1 - 2 * 0.05 / 8
        assert (verdict.low > verdict.bound) if verdict.above else (verdict.high < verdict.bound)


def test_the_opposite_contradicts_every_claim():
    names = {"shared_bottom": "mmoe", "omoe": "omoe", "mmoe": "shared_bottom", SMALL: SMALL}
    turned = {names[m]: dict(zip(CORRELATIONS, reversed(by.values()), strict=True)) for m, by in PAPERLIKE.items()}
    # The lowest losses of one model are far above the others'.
    turned["omoe"] = dict(zip(CORRELATIONS, [(0.16, 0.0), (0.16, 0.1), (0.25, 0.6)], strict=True))
    found = verdicts(runs(turned), {0.5: 0.9, 0.9: 0.5, 1.0: 0.2})
    assert {name: verdict.verdict for name, verdict in found.items()} == dict.fromkeys(found, "contradicted")
    for name in PARTS:
        verdict = found[name]
        assert verdict.p < 0.05 and verdict.confidence > 1 - 2 * 0.05 / 8
        assert (verdict.high < verdict.bound) if verdict.above else (verdict.low > verdict.bound)


def test_models_that_do_not_differ_are_not_said_to():
    """Of models and correlations that are all alike no claim of a difference is reproduced, nor contradicted."""
    alike = {model: dict.fromkeys(CORRELATIONS, (0.06, 0.1)) for model in PAPERLIKE}
    for seed in range(4):
        found = verdicts(runs(alike, 60, seed))
        differences = {found[name].verdict for name in ("F3", "C1", "C2a", "C2b", "C3", "T1", "T2")}
        assert differences == {"inconclusive"}


def test_a_failed_difference_test_is_no_likeness():
    """Twelve runs do not show a difference at p = 1, and that is not said to be likeness."""
    found = verdicts(runs(PAPERLIKE, count=12))["T2"]
    likeness = [one for one in found.comparisons if one.part.cells == (("omoe", 1.0), ("mmoe", 1.0))]
    assert found.verdict == "inconclusive" and len(likeness) == 2
    assert all(one.p_fails > 0.05 and one.p_holds > 0.05 / 8 for one in likeness)


def test_a_verdict_does_not_depend_on_what_else_was_swept():
    """Runs of Figure 3's network whose p-value is just below the level: alone, and beside all other cells."""
    table = {**PAPERLIKE, SMALL: {p: (0.3 + 0.0062 * (1 - p) / 0.5, 0) for p in CORRELATIONS}}
    losses = runs(table, 200)["final_loss"]
    alone = {key: of_cell for key, of_cell in losses.items() if key[0] == SMALL}
    together = verdicts({"final_loss": losses, "test_loss": losses})["F3"]
    apart = verdicts({"final_loss": alone, "test_loss": alone})
    assert together.p > 0.0001 and together.verdict != "untested"
    assert all(getattr(apart["F3"], key) == getattr(together, key) for key in SAME)
    assert {verdict.verdict for name, verdict in apart.items() if name not in ("F2", "F3")} == {"untested"}


def test_a_claims_p_value_is_that_of_its_least_sure_part_times_the_number_of_claims():
    found = verdicts(runs(PAPERLIKE, 40, seed=3))
    for name in PARTS:
        verdict = found[name]
        least_sure = max(one.p_holds for one in verdict.comparisons if one.part.needed)
        assert verdict.verdict == "contradicted" or verdict.p == min(1, 8 * least_sure)
        assert (verdict.verdict == "reproduced") == (8 * least_sure < 0.05)


def test_f3_is_about_figure_3s_network():
    without = runs({model: PAPERLIKE[model] for model in MODELS})
    found = verdicts(without)
    assert found["F3"].verdict == "untested"
    assert found["F3"].missing == tuple((SMALL, correlation) for correlation in CORRELATIONS)
    # A bottom of 113 whose loss grows says nothing of it.
    growing = {**PAPERLIKE, "shared_bottom": dict(zip(CORRELATIONS, [(0.05, 0), (0.06, 0), (0.07, 0)], strict=True))}
    assert verdicts(runs(growing))["F3"].verdict == "reproduced"


def test_a_step_that_rises_contradicts_a_fall():
    """The claim takes that the whole falls, and that no step surely rises."""
    table = {**PAPERLIKE, SMALL: {0.5: (0.40, 0), 0.9: (0.20, 0), 1.0: (0.30, 0)}}
    found = verdicts(runs(table))["F3"]
    assert found.verdict == "contradicted" and "0.9" in found.part
    flat = {**PAPERLIKE, SMALL: {0.5: (0.40, 0), 0.9: (0.40, 0), 1.0: (0.30, 0)}}
    assert verdicts(runs(flat))["F3"].verdict == "reproduced"


def test_no_claim_is_contradicted_by_one_run():
    """A run that fails alone makes the spread, and the mean, of its cell; without it there is no difference."""
    table = {model: dict.fromkeys(CORRELATIONS, (0.06, 0.0)) for model in PAPERLIKE}
    losses = runs(table, 40)["final_loss"]
    for key, of_cell in losses.items():
        of_cell.iloc[7] = 40.0 if key in (("omoe", 1.0), (SMALL, 1.0), ("omoe", 0.9)) else of_cell.iloc[7]
    found = verdicts({"final_loss": losses, "test_loss": losses})
    assert "contradicted" not in {found[name].verdict for name in PARTS}


def test_a_part_that_only_one_run_makes_fail_does_not_contradict():
    """The fewest bad runs that make T1's opposite sure do not contradict it; one more does."""
    losses = runs({model: PAPERLIKE[model] for model in MODELS}, 60)["test_loss"]

    def with_bad(count):
        cells = {key: of_cell.clip(upper=0.09) for key, of_cell in losses.items()}
        for model in ("omoe", "mmoe"):
            cells[model, 1.0] = cells[model, 1.0] + 0.4 * (np.arange(60) < count)
        (found,) = judge(T1_ALONE, {"final_loss": cells, "test_loss": cells}, {}, paper_loss=1.0)
        return found

    surely = [count for count in range(5, 30) if min(one.p_fails for one in with_bad(count).comparisons) < 0.05 / 8 / 6]
    contradicted = [count for count in range(5, 30) if with_bad(count).verdict == "contradicted"]
    assert contradicted == surely[1:] and surely[1] == surely[0] + 1


def test_runs_needed_do_settle_the_claim():
    few = verdicts(runs(PAPERLIKE, count=20))["T2"]
    assert few.verdict == "inconclusive" and 20 < few.runs_needed < 2_000
    enough = int(few.runs_needed)
    settled = [verdicts(runs(PAPERLIKE, enough, seed))["T2"].verdict != "inconclusive" for seed in range(5)]
    assert sum(settled) >= 3


# -- what ends badly, and what is compared -------------------------------------------------------


def test_runs_that_are_all_alike_do_not_end_badly_however_high_they_end():
    cells = {
        ("mmoe", 1.0): pd.Series([0.05, 0.05, 0.06, 0.06, 0.40]),
        ("shared_bottom", 1.0): pd.Series([0.50, 0.51, 0.52, 0.50, 0.51]),
        ("omoe", 1.0): pd.Series([0.10, 0.10, 0.21, 0.23, 0.90]),
    }
    bad = ends_badly(cells, 2)  # more than 0.12 above the lowest of each
    assert {model: list(found) for (model, _), found in bad.items()} == {
        "mmoe": [False] * 4 + [True],
        "shared_bottom": [False] * 5,
        "omoe": [False, False, False, True, True],
    }


def test_a_bad_end_lies_between_the_papers_heaps():
    """Of Shared-Bottom above 0.03 to 0.13 and below 0.2 to 0.27 and 0.43 to 0.5, whatever the unit."""
    cells = paper_runs.losses()
    for unit in (1, 0.5):
        bad = ends_badly({key: of_cell / unit for key, of_cell in cells.items()}, SETTINGS["bad"])
        for correlation in (0.5, 1.0):
            of_cell, found = cells["shared_bottom", correlation], bad["shared_bottom", correlation]
            assert not found[of_cell < 4 / 30].any() and found[of_cell > 6 / 30].all()


def test_missing_cells_are_named():
    losses = runs({model: by for model, by in PAPERLIKE.items() if model != "omoe"})
    found = verdicts(losses, {})
    assert {name: verdict.verdict for name, verdict in found.items()} == {
        **dict.fromkeys(("F2", "C1", "C2a", "C2b", "C3", "T1", "T2", "T3"), "untested"),
        "F3": "reproduced",
    }
    assert found["C2b"].missing == (("omoe", 0.5), ("omoe", 1.0))


def test_a_correlation_of_0_9_is_judged_where_it_is():
    """Without it claims of every correlation rest on the other two; with it, it counts."""
    losses = runs(PAPERLIKE)["final_loss"]
    without = {key: of_cell for key, of_cell in losses.items() if key[1] != 0.9}
    found = verdicts({"final_loss": without, "test_loss": without})
    assert {found[name].verdict for name in PARTS} == {"reproduced"}
    assert found["C3"].missing == tuple((model, 0.9) for model in MODELS)
    turned = {**losses, ("omoe", 0.9): losses["shared_bottom", 0.9] + 0.1}
    assert verdicts({"final_loss": turned, "test_loss": turned})["C3"].verdict == "contradicted"


def test_only_runs_that_all_cells_have_are_compared():
    losses = runs(PAPERLIKE)
    whole = verdicts(losses)["F3"].effect
    with_more = dict(losses["final_loss"])
    with_more[SMALL, 0.5] = pd.concat([with_more[SMALL, 0.5], pd.Series([99.0], index=[5_000])])
    assert verdicts({**losses, "final_loss": with_more})["F3"].effect == pytest.approx(whole)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_few_runs_decide_little(count):
    found = verdicts(runs(PAPERLIKE, count))
    assert count == 5 or {found[name].verdict for name in PARTS} == {"inconclusive"}
    for name in PARTS:
        assert np.isnan(found[name].low) or found[name].low <= found[name].effect <= found[name].high, name


def test_the_same_runs_give_the_same_verdicts():
    one, other = (verdicts(runs(PAPERLIKE, 30)) for _ in range(2))
    for name in PARTS:
        assert [getattr(one[name], key) for key in SAME] == [getattr(other[name], key) for key in SAME]


def test_bounds_are_settings():
    losses = runs(PAPERLIKE)
    strict = {**SETTINGS, "F3": {**SETTINGS["F3"], "ratio": 100.0}, "T3": {**SETTINGS["T3"], "margin": 0.001}}
    found = verdicts(losses, settings=strict)
    assert found["F3"].verdict == "contradicted" and found["F3"].bound == pytest.approx(100)
    assert found["T3"].verdict == "contradicted"


# -- whether the size is the paper's -------------------------------------------------------------


@pytest.mark.parametrize("paper_loss", [1.0, 0.5])
def test_the_papers_numbers_are_those_of_its_curves_in_our_unit(paper_loss):
    found = verdicts(of_paper(paper_loss=paper_loss), paper_loss=paper_loss)
    ends = {key: paper.mean_curve("figure4", *key)["mean_loss"].iloc[-1] for key in (("omoe", 0.5), ("omoe", 1.0))}
    (c1,) = [one for one in found["C1"].comparisons if one.part.cells == tuple(ends)]
    assert c1.part.shown(c1.paper) == pytest.approx(ends["omoe", 0.5] / ends["omoe", 1.0], rel=1e-6)
    curve = [paper.mean_curve("figure3", "shared_bottom", p)["mean_loss"].iloc[-1] for p in (0.5, 1.0)]
    assert found["F3"].paper == pytest.approx(curve[0] / curve[1], rel=1e-6)
    t3 = found["T3"].comparisons[0]
    assert t3.part.bound == pytest.approx(-2 / 30 / paper_loss, rel=1e-4)
    assert all(one.size == "like the paper" for name in PARTS for one in found[name].comparisons)
    assert all(one.paper_low < one.paper < one.paper_high for name in PARTS for one in found[name].comparisons)


def test_nothing_of_the_paper_is_known_at_0_9_but_figure_3():
    assert {key for key in paper_runs.cells() if key[1] == 0.9} == {(SMALL, 0.9)}
    found = verdicts(runs(PAPERLIKE))
    for name in PARTS:
        for one in found[name].comparisons:
            held_out = any(correlation == 0.9 and model != SMALL for model, correlation in one.part.cells)
            assert np.isnan(one.paper) == held_out and (one.size == "") == held_out


def test_a_size_is_larger_or_smaller_where_it_surely_is():
    cells = of_paper()["final_loss"]
    scaled = {**cells, ("omoe", 0.5): 3 * cells["omoe", 0.5], (SMALL, 0.5): 0.75 * cells[SMALL, 0.5]}
    found = verdicts({"final_loss": scaled, "test_loss": cells})
    assert (found["C2a"].verdict, found["C2a"].size) == ("reproduced", "larger")
    assert (found["F3"].verdict, found["F3"].size) == ("inconclusive", "smaller")
    assert found["F3"].effect < found["F3"].paper_low < found["F3"].paper < found["F3"].paper_high


@pytest.mark.slow
def test_replicas_of_the_paper_are_like_it():
    """Of 10 trials, by 60 runs; an interval at 98.75 % misses in one of 80."""
    generator = np.random.default_rng(0)
    sizes = []
    for _ in range(10):
        cells = {key: pd.Series(paper_runs.replica(key, generator, 60)) for key in paper_runs.cells()}
        found = verdicts({"final_loss": cells, "test_loss": cells})
        sizes += [found[name].size == "like the paper" for name in PARTS]
    assert np.mean(sizes) > 0.95


# -- the paper's own runs ------------------------------------------------------------------------


def test_the_papers_runs_have_its_counts_and_means():
    for generator in (None, np.random.default_rng(3)):
        for model, correlation in paper_runs.cells():
            losses = paper_runs.spread((model, correlation), generator)
            assert losses.mean() == pytest.approx(paper_runs.mean((model, correlation)), abs=1e-9)
            if model != SMALL:
                edges, shares = paper.histogram("figure4", model, correlation)
                np.testing.assert_array_equal(np.histogram(losses, edges)[0], np.rint(200 * shares))


def test_replicas_have_the_papers_means_and_shares():
    generator = np.random.default_rng(4)
    for key in paper_runs.cells():
        losses, own = paper_runs.replica(key, generator, 40_000), paper_runs.spread(key)
        assert losses.mean() == pytest.approx(own.mean(), abs=4 * own.std() / 200)
        assert (losses < 0.2).mean() == pytest.approx((own < 0.2).mean(), abs=0.02)


def table(heading):
    """A table of the document, by its first column."""
    section = DOCUMENT.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in section.splitlines() if line.startswith("|")]
    return pd.DataFrame(rows[2:], columns=rows[0]).set_index(rows[0][0])


def test_the_judge_finds_of_the_papers_own_runs_what_the_document_says():
    """With runs spread evenly over their bins, and wherever in their bins they are drawn."""
    written = table("The paper's own runs")
    own = verdicts(of_paper(), paper_runs.label_pearson())
    assert {name: verdict.verdict for name, verdict in own.items()} == written["verdict now"].to_dict()
    assert "contradicted" not in set(written["verdict now"])
    for name in PARTS:
        assert written.at[name, "effect"] == f"{own[name].effect:.3g} ({own[name].low:.3g} to {own[name].high:.3g})"
        assert own[name].size == "like the paper"
    for seed in range(5):
        drawn = verdicts(of_paper(np.random.default_rng(seed)), paper_runs.label_pearson())
        assert {name: verdict.verdict for name, verdict in drawn.items()} == written["verdict now"].to_dict()


def test_the_document_has_the_power_that_was_measured():
    measured = pd.read_csv(Path(__file__).parents[2] / "results" / "coverage" / "power.csv")
    written = table("How often a replica of the paper is called reproduced")
    for name in PARTS:
        of_claim = measured[measured["claim"] == name].set_index("runs")["reproduced"]
        for count in (20, 40, 60, 200):
            assert written.at[name, str(count)] == f"{of_claim[count]:.0%}".replace("%", " %")


@pytest.mark.slow
def test_a_replica_of_the_paper_is_found_as_often_as_was_measured():
    """Of 40 trials by 200 runs; C1, C2a, C2b and T2, the others being found always. Four binomial errors."""
    measured = pd.read_csv(Path(__file__).parents[2] / "results" / "coverage" / "power.csv")
    power = measured[measured["runs"] == 200].set_index("claim")["reproduced"]
    names = ("C1", "C2a", "C2b", "T2")
    settings = {key: value for key, value in SETTINGS.items() if key in (*names, "level", "bad")}
    generator, found = np.random.default_rng(5), dict.fromkeys(names, 0)
    for _ in range(40):
        cells = {key: pd.Series(paper_runs.replica(key, generator, 200)) for key in paper_runs.cells()}
        for name, verdict in verdicts({"final_loss": cells, "test_loss": cells}, settings=settings).items():
            found[name] += verdict.verdict == "reproduced"
    for name in names:
        error = np.sqrt(max(power[name] * (1 - power[name]), 0.02) / 40)
        assert abs(found[name] / 40 - power[name]) < 4 * error, name
