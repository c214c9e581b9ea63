"""The paper's Figure 2: trials, their spread, and the command."""

import numpy as np
import pandas as pd
import pytest
import yaml

from mmoe_repro import paper
from mmoe_repro.commands import correlation
from mmoe_repro.data.synthetic import SyntheticLaw

FIGURE2_M4 = {
    "c": 0.53647,
    "alpha": (3.7661, 14.6552, 11.1968, -6.9020),
    "beta": (1.5182, 7.8004, 7.7999, 7.9068),
    "noise_variance": 0.01,
    "label_variance": None,
    "examples": None,
    "tasks": 2,
}


def law(p, **changes):
    return SyntheticLaw(**{"dimension": 3, "correlation": p, **FIGURE2_M4, **changes})


@pytest.fixture(scope="module")
def trials():
    laws = [law(p) for p in (0.0, 0.5, 0.95, 1.0)]
    return laws, np.stack([correlation.trial_correlations(laws, 2_000, seed) for seed in range(400)])


def test_trials_have_the_closed_form_as_their_mean(trials):
    laws, found = trials
    errors = found.std(0) / np.sqrt(len(found))
    # A sample correlation is biased by about r / 2n, far less than the four standard errors allowed.
    assert found.mean(0) == pytest.approx([one.label_pearson for one in laws], abs=4 * errors.max())


def test_trials_spread_as_expected(trials):
    laws, found = trials
    expected = np.array([one.label_pearson_spread(2_000) for one in laws])
    # The standard deviation of 400 trials has a relative error of 1 / √800; four of them.
    assert found.std(0, ddof=1) / expected == pytest.approx(1, abs=4 / np.sqrt(800))


@pytest.mark.parametrize("p", [-0.6, 0.0, 0.3, 0.9])
@pytest.mark.parametrize("noise_variance", [0.0, 0.5])
def test_the_spread_of_gaussian_labels_is_the_textbooks(p, noise_variance):
    linear = law(p, c=2.0, alpha=(), beta=(), noise_variance=noise_variance)
    r = 4 * p / (4 + noise_variance)
    assert linear.label_pearson == pytest.approx(r)
    assert linear.label_pearson_spread(100) == pytest.approx((1 - r**2) / 10, rel=1e-7)


def test_a_trial_does_not_depend_on_the_other_correlations():
    alone = correlation.trial_correlations([law(0.5)], 1_000, 7)
    beside = correlation.trial_correlations([law(0.0), law(0.5)], 1_000, 7)
    assert alone[0] == beside[1] != beside[0]


def test_the_command_leaves_a_table_and_a_figure(run, tmp_path):
    outcome = run("correlation", "trials=30", "points=1000", "correlations=[0.5,0.75,1]", "name=mine")
    assert outcome.status == 0, outcome.err
    table = pd.read_csv(tmp_path / "results/mine/correlation.csv")
    assert list(table["correlation"]) == [0.5, 0.75, 1.0]
    published = paper.table("figure2").set_index("weight_cosine")
    assert table["paper_mean"].iloc[0] == published.loc[0.5, "label_pearson_mean"]
    assert np.isnan(table["paper_mean"].iloc[1]), "the paper has no point at 0.75"
    four_errors = 4 * table["closed_form_two_sd"] / 2 / np.sqrt(30)
    assert ((table["mean"] - table["closed_form"]).abs() < four_errors + 1e-4).all()
    for ending in ("png", "svg"):
        assert (tmp_path / f"results/mine/figures/correlation.{ending}").exists()
    assert yaml.safe_load((tmp_path / "results/mine/config.yaml").read_text())["trials"] == 30
    assert "Farthest from the paper's points: 0.000" in outcome.out
    assert "bars" not in outcome.out, "the paper's bars are of 10,000 points"


def test_the_default_tells_whether_the_law_made_the_papers_bars(run):
    outcome = run("correlation", "trials=2", "correlations=[0.4,0.5,0.6,0.7,0.8,0.9,0.95,0.98]")
    assert "The paper's bars are 0.93 to 1.12 times what this law's trials have; p = 0.27" in outcome.out


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("data=figure2", "data=figure2: did you mean 'figure2_m4'?"),
        ("trials=0", "trials=0: must be at least 1"),
        ("points=1", "points=1: must be at least 2"),
        ("correlations=[]", "correlations=[]: must be one task correlation or more"),
        ("correlations=[0.5,1.5]", "data.correlation=1.5: must be in [-1, 1]"),
        ("name=../out", "name=../out: must be a plain folder name"),
        ("runs=3", "runs: no such setting"),
    ],
)
def test_mistakes_are_refused_in_one_line(run, argument, told):
    outcome = run("correlation", argument)
    assert outcome.status == 2
    assert told in outcome.err and outcome.err.count("\n") == 1


def test_a_law_of_ones_own_needs_a_task_correlation(run, tmp_path):
    (tmp_path / "conf/data").mkdir(parents=True)
    (tmp_path / "conf/data/own.yaml").write_text("_target_: own.Law\nwidth: 3\n")
    outcome = run("correlation", "data=own", "--config-dir", "conf")
    assert outcome.status == 2
    assert outcome.err == "mmoe-repro: data=own: has no setting 'correlation' to vary\n"


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"text.usetex: True\nbackend: TkAgg\nno_such: key\n", b"font.family: \xff\n"])
def test_ones_own_matplotlib_is_not_asked(process, tmp_path, content):
    (tmp_path / "matplotlibrc").write_bytes(content)
    outcome = process("correlation", "trials=2", "points=100", env={"MPLBACKEND": "no_such_backend"})
    assert (outcome.status, outcome.err) == (0, "")
    assert (tmp_path / "results/correlation/figures/correlation.svg").exists()
