"""The page's panels: what is drawn stands where the axes say."""

import json
import re
from html import unescape

import numpy as np
import pytest
from hypothesis import given
from strategies import panels

from mmoe_repro.names import NAMES
from mmoe_repro.views import svg_renderer
from mmoe_repro.views.panels import Axis, Bars, Line, Panel, Points, Style, Tip
from mmoe_repro.views.style import style_of

STYLE = Style("#123456")


def panel(*marks, tips=()):
    return Panel("a & b", Axis("step", 0, 100), Axis("loss", 0, 1), list(marks), list(tips))


def test_a_line_goes_from_corner_to_corner_and_stops_where_values_are_missing():
    drawn = svg_renderer.draw(panel(Line(np.array([0, 50, 100]), np.array([0, np.nan, 1]), STYLE)))
    (points,) = re.findall(r'class="line"[^>]*points="([^"]*)"', drawn)
    assert points == "50.0,193.0 350.0,23.0"


def test_bars_stand_on_one_another():
    drawn = svg_renderer.draw(
        panel(Bars(np.array([0, 50, 100]), np.array([0.0, 0.5]), np.array([0.5, 0.5]), "#123456"))
    )
    (bar,) = re.findall(r'<rect class="bar" [^>]*y="([\d.]+)"[^>]* height="([\d.]+)"', drawn)
    assert [float(value) for value in bar] == [108.0, 85.0], "the upper half is left, and no bar without height"


def test_points_without_a_value_or_an_interval_leave_the_others():
    at, high = np.array([0.0, 50.0, 100.0]), np.array([0.6, np.nan, np.inf])
    drawn = svg_renderer.draw(panel(Points(at, np.array([0.5, np.nan, 0.7]), STYLE, "", at * 0, high)))
    assert drawn.count("<circle") == 2 and drawn.count('class="interval"') == 2 and "nan" not in drawn
    assert 'y2="19.6"' in drawn, "an interval without an end reaches the frame's"


@pytest.mark.filterwarnings("error")
@given(panels())
def test_any_numbers_have_a_place_in_the_picture(drawn_panel):
    drawn = svg_renderer.draw(drawn_panel)
    assert not re.search(r"nan|inf\b", drawn)
    # Across, down, of every point, within the view but for a little.
    for across, down in re.findall(r'cx="([^"]*)" cy="([^"]*)"', drawn):
        assert 40 <= float(across) <= 360 and 10 <= float(down) <= 210


def test_tips_are_in_reading_order_and_nothing_escapes():
    tips = [Tip(90, 0.5, 'later "<b>"'), Tip(10, 0.5, "sooner\nsecond line"), Tip(50, np.nan, "nowhere")]
    drawn = svg_renderer.draw(panel(tips=tips))
    (found,) = re.findall(r'data-tips="([^"]*)"', drawn)
    assert [text for _, _, text in json.loads(unescape(found))] == ["sooner\nsecond line", 'later "<b>"']
    assert 'aria-label="a &amp; b"' in drawn and "<b>" not in drawn


def test_only_a_panel_that_tells_something_is_a_tab_stop():
    assert "tabindex" not in svg_renderer.draw(panel())
    assert 'tabindex="0"' in svg_renderer.draw(panel(tips=[Tip(1, 0.5, "told")]))


def test_each_model_has_a_shape_of_its_own():
    at = np.array([50.0])
    styles = [style_of(model, list(NAMES)) for model in NAMES]
    shapes = [
        re.findall(r'points="[^"]*"|<circle', svg_renderer.draw(panel(Points(at, at / 100, one)))) for one in styles
    ]
    assert all(len(shape) == 1 for shape in shapes) and len({shape[0] for shape in shapes}) == 12


def test_names_of_rows_stand_above_them_and_titles_have_lines():
    names = ("a comparison of which the name takes most of the width", "another")
    long = "a comparison with a name that does not fit into one line of the picture at all"
    rows = Panel("one\ntwo", Axis("ratio", 0, 2), Axis("", -0.6, 1.6, names=names))
    drawn = svg_renderer.draw(rows)
    places = dict(re.findall(r'class="name" x="10" y="([\d.]+)">([^<]*)<', drawn))
    assert list(places.values()) == list(names) and float(next(iter(places))) > float(list(places)[1])
    assert ">one<" in drawn and ">two<" in drawn
    drawn = svg_renderer.draw(Panel("", Axis("ratio", 0, 2), Axis("", -0.6, 0.8, names=(long,))))
    assert " ".join(reversed(re.findall(r'class="name"[^>]*>([^<]*)<', drawn))) == long
