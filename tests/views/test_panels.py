"""Axes hold what is drawn on them, and their numbers are round, inside, and not too many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import arrays

from mmoe_repro.views.panels import Axis, Line, Panel, Picture, Rule, Style, axis_from_zero, even_axis, log_axis


def written(axis, most=5):
    return [text for _, text in axis.ticks(most)]


def test_ticks_are_round_and_inside():
    assert written(Axis("", 0, 10_000)) == ["0", "2,000", "4,000", "6,000", "8,000", "10,000"]
    assert written(Axis("", 0.03, 12, log=True), 9) == ["0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10"]
    assert written(Axis("", 0.03, 12, log=True), 5) == ["0.03", "0.1", "0.3", "1", "3", "10"]
    assert written(Axis("", 0, 1, at=(0.5, 0.9, 1.0))) == ["0.5", "0.9", "1"]
    assert Axis("", 0, 1, names=("a", "b")).ticks() == [(0, "a"), (1, "b")]


def test_a_log_axis_of_less_than_a_factor_of_two_has_numbers_too():
    assert len(written(Axis("", 0.061, 0.079, log=True))) >= 2


@pytest.mark.parametrize("low", [1e-7, 0.013, 0.5, 40.0])
@pytest.mark.parametrize("factor", [1.2, 3.0, 40.0, 1e5])
def test_a_log_axis_never_has_many_more_numbers_than_there_is_room_for(low, factor):
    axis = Axis("", low, low * factor, log=True)
    assert 1 <= len(axis.ticks(5)) <= 8
    assert all(axis.low <= value * (1 + 1e-9) and value <= axis.high * (1 + 1e-9) for value, _ in axis.ticks(5))


@pytest.mark.parametrize(
    "values", [[], [np.nan], [0.0], [-1.0, 0.0], [0.2], [0.2, np.inf, 3.0], [np.inf, -np.inf], [1e-9, 1e9]]
)
def test_axes_of_any_values_have_ends_that_differ(values):
    for axis in (log_axis("", values), axis_from_zero("", values), even_axis("", values)):
        assert np.isfinite([axis.low, axis.high]).all() and axis.low < axis.high
        known = [value for value in values if np.isfinite(value) and value > 0]
        assert not known or (axis.low <= min(known) and max(known) <= axis.high)
        assert axis.ticks()
    assert log_axis("", values).low > 0


@pytest.mark.parametrize(
    ("axis", "values", "shares"),
    [
        (Axis("", 0, 10), [0, 2.5, 10], [0, 0.25, 1]),
        (Axis("", 0.01, 1, log=True), [0.01, 0.1, 1], [0, 0.5, 1]),
        (Axis("", 0.01, 1, log=True), [0.0, -3.0, np.inf], [-0.02, -0.02, 1.02]),
        (Axis("", 0, 1), [-5, 7], [-0.02, 1.02]),
    ],
)
def test_values_lie_between_the_ends(axis, values, shares):
    np.testing.assert_allclose(axis.share(values), shares)
    np.testing.assert_allclose(axis.share(axis.held(values)), shares)


@pytest.mark.filterwarnings("error")
@given(st.sampled_from([log_axis, axis_from_zero, even_axis]), arrays(3))
def test_any_numbers_make_an_axis_that_holds_them(make, values):
    axis = make("", values)
    assert np.isfinite([axis.low, axis.high]).all() and axis.low < axis.high and len(axis.ticks()) >= 1
    assert np.isnan(axis.share(values)).tolist() == np.isnan(values).tolist()
    wanted = values[np.isfinite(values) & (values > 0 if make is log_axis else values >= 0)]
    assert ((axis.low <= wanted) & (wanted <= axis.high) | (wanted < 1e-100)).all()


def test_a_legend_names_each_label_once():
    x = np.arange(2.0)
    lines = [Line(x, x, Style("#000000"), label) for label in ("one", "two", "")]
    panels = [Panel("", Axis("", 0, 1), Axis("", 0, 1), [*lines, Rule(0.5, "bound")]) for _ in range(3)]
    assert list(Picture("", "", "", panels, 3).legend) == ["one", "two", "bound"]
