"""The page's panels: what is drawn stands where the axes say."""

import json
import re
from html import unescape

import numpy as np
import pytest

from mmoe_repro.report.charts import Axis, Panel


@pytest.mark.parametrize(
    ("axis", "values", "shares"),
    [
        (Axis("", 0, 10), [0, 2.5, 10], [0, 0.25, 1]),
        (Axis("", 0.01, 1, log=True), [0.01, 0.1, 1], [0, 0.5, 1]),
        (Axis("", 0, 1), [-5, 7], [-0.02, 1.02]),
    ],
)
def test_values_lie_between_the_ends(axis, values, shares):
    np.testing.assert_allclose(axis.share(values), shares)


def test_ticks_are_round_and_inside():
    assert [text for _, text in Axis("", 0.03, 12, log=True).ticks()] == [
        "0.05",
        "0.1",
        "0.2",
        "0.5",
        "1",
        "2",
        "5",
        "10",
    ]
    assert [text for _, text in Axis("", 0, 10_000).ticks()] == ["0", "2,000", "4,000", "6,000", "8,000", "10,000"]
    assert Axis("", 0, 1, at=(0.5, 0.9, 1.0)).ticks() == [(0.5, "0.5"), (0.9, "0.9"), (1.0, "1")]
    assert Axis("", 0, 1, names=("a", "b")).ticks() == [(0, "a"), (1, "b")]


def panel():
    return Panel("a & b", Axis("step", 0, 100), Axis("loss", 0, 1))


def test_a_line_goes_from_corner_to_corner_and_stops_where_values_are_missing():
    one = panel()
    one.line([0, 50, 100], [0, np.nan, 1], "#123456")
    (points,) = re.findall(r'class="line"[^>]*points="([^"]*)"', one.svg())
    assert points == "50.0,194.0 350.0,24.0"


def test_bars_stand_on_one_another():
    one = panel()
    one.bars(np.array([0, 50, 100]), np.array([0.0, 0.5]), np.array([0.5, 0.5]), "#123456")
    (bar,) = re.findall(r'<rect class="bar" [^>]*y="([\d.]+)"[^>]* height="([\d.]+)"', one.svg())
    assert [float(value) for value in bar] == [109.0, 85.0], "the upper half is left, and no bar without height"


def test_what_is_told_is_in_reading_order_and_nothing_escapes():
    one = panel()
    one.tip(90, 0.5, 'later "<b>"')
    one.tip(10, 0.5, "sooner\nsecond line")
    one.tip(50, np.nan, "nothing to point at")
    svg = one.svg()
    (tips,) = re.findall(r'data-tips="([^"]*)"', svg)
    assert [text for _, _, text in json.loads(unescape(tips))] == ["sooner\nsecond line", 'later "<b>"']
    assert 'aria-label="a &amp; b"' in svg and "<b>" not in svg
