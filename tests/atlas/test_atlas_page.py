"""The atlas's page, of an atlas that is made up."""

from dataclasses import replace

import numpy as np
import pandas as pd

from mmoe_repro.atlas import figures, page
from mmoe_repro.atlas.findings import Atlas


def made_up(*, enough):
    claims = pd.DataFrame(
        {
            "claim": ["C1", "T1"],
            "says": ["<b>first</b>", "second"],
            "settings": 50 if enough else 30,
            "holds": [10, 40],
            "share": [0.2, 0.8],
            "low": [0.1, 0.7],
            "high": [0.3, 0.9],
            "without_bad_runs": [30, 0],
            "reproduced": [3, 30],
            "contradicted": [20, 1],
            "fit": [0.6, -0.2] if enough else np.nan,
        }
    )
    settings = pd.DataFrame({"gain": np.linspace(0.5, 3, 50)})
    if not enough:
        return Atlas(settings, claims, *[pd.DataFrame()] * 3)
    importance = pd.DataFrame(
        {
            "choice": ["output_gain", "biases"] * 2,
            "claim": ["C1", "C1", "T1", "T1"],
            "importance": [0.5, 0.004, 0.3, 0.02],
            "error": 0.01,
            "p": [0.001, 0.9, 0.04, 0.06],
            "direction": [1.0, np.nan, -1.0, np.nan],
            "best": ["4 to 8", "False", "0.5 to 1", "True"],
        }
    )
    held = {"settings": 25, "holds": 5, "share": 0.2, "low": 0.1, "high": 0.3}
    values = [("output_gain", "0.5 to 1"), ("output_gain", "4 to 8"), ("biases", "False"), ("biases", "True")]
    rows = [(claim, *value) for claim in ("C1", "T1") for value in values]
    shares = pd.DataFrame(rows, columns=["claim", "choice", "value"]).assign(**held)
    pairs = pd.DataFrame(
        [
            {"claim": claim, "choice": "biases", "value": bias, "other": "output_gain", "other_value": gain, **held}
            for claim in ("C1", "T1")
            for bias in ("False", "True")
            for gain in ("0.5 to 1", "4 to 8")
        ]
    )
    return Atlas(settings, claims, importance, shares, pairs)


def rendered(atlas):
    return page.render(
        atlas,
        figures.pictures(atlas),
        name="mine",
        runs=20,
        prior="gain: {low: 0.5}",
        command="mmoe-repro atlas name=mine",
        files=["claims.csv"],
    )


def test_it_says_how_often_each_claim_holds_and_on_what_it_hangs():
    html = rendered(made_up(enough=True))
    assert "T1 holds most often, in 80 % of settings; C1 least often, in 20 %." in html
    assert "50 settings" in html and "mmoe-repro atlas name=mine" in html and 'href="claims.csv"' in html
    # Tiles: C1's for the output gain is the darkest shade, T1's has none, since choices do not explain its size, but
    # the sign of the direction in which it surely holds more often.
    assert '<td class="dark" style="--shade: 100%">+</td>' in html and ">−</td>" in html
    assert "&lt;b&gt;first" in html and "<b>first" not in html
    assert html.count(">output gain</td>") == 2 and ">biases</td>" not in html, "too little, and not surely any"


def test_with_few_settings_it_says_only_how_often():
    html = rendered(made_up(enough=False))
    assert 'id="holds"' in html and 'id="maps"' not in html and "takes 40 settings to say" in html


def test_a_line_joins_only_values_that_have_an_order():
    panels = figures.pictures(made_up(enough=True))["values"].panels
    joined = [(panel.x.label, mark.joined) for panel in panels for mark in panel.marks]
    assert joined == [("output gain", True), ("output gain", True)]
    unordered = made_up(enough=True)
    unordered = replace(unordered, importance=unordered.importance.assign(p=0.01))
    joined = {
        (panel.title, panel.x.label): panel.marks[0].joined for panel in figures.pictures(unordered)["values"].panels
    }
    assert joined == {
        (claim, choice): choice != "biases" for claim in ("C1", "T1") for choice in ("output gain", "biases")
    }


def test_settings_without_bad_runs_are_drawn_apart():
    atlas = made_up(enough=True)
    holds, neither = figures.pictures(atlas)["holds"].panels[0].marks
    assert list(holds.x) == [0.8, 0.2] and list(holds.y) == [0, 1], "the first claim is at the top"
    assert list(neither.x) == [0.8] and list(neither.y) == [1], "30 of C1's 50, beside 10 in which it holds"
    without = replace(atlas, claims=atlas.claims.assign(without_bad_runs=0))
    assert len(figures.pictures(without)["holds"].panels[0].marks) == 1


def test_only_what_hangs_on_choices_is_drawn_by_them():
    atlas = made_up(enough=True)
    assert [panel.title for panel in figures.pictures(atlas)["values"].panels] == ["C1", "T1"], "of one choice each"
    assert [panel.title for panel in figures.pictures(atlas)["maps"].panels] == ["C1"], "T1's fit is below zero"
    nothing = replace(atlas, claims=atlas.claims.assign(fit=0.0), importance=atlas.importance.assign(p=1.0))
    assert list(figures.pictures(nothing)) == ["atlas", "holds"]
