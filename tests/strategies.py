"""Numbers, panels and sweeps of any kind, for tests of what draws them."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from mmoe_repro.views.panels import (
    Bars,
    Line,
    Outline,
    Panel,
    Points,
    Rule,
    Style,
    Tip,
    axis_from_zero,
    even_axis,
    log_axis,
)

#: The same examples every time, and no limit on how long one takes.
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

#: What a loss, an effect or the end of an interval may come to.
NUMBERS = st.one_of(st.sampled_from([0.0, -1.0, 1.0, np.inf, -np.inf, np.nan, 1e-30, 3e38, -3e38]), st.floats(width=32))
#: What the loss of a run may come to; one that is not finite is of a run that diverged.
LOSSES = st.one_of(st.sampled_from([0.0, 0.1, 0.1, 0.2, 0.45, 1e-30, 1e30, np.nan]), st.floats(0, 1, width=32))


def arrays(count):
    """Arrays of any numbers."""
    return st.lists(NUMBERS, min_size=count, max_size=count).map(np.array)


@st.composite
def panels(draw):
    """A panel with each kind of mark, of any numbers, on axes of any kind that are to hold them."""
    x, y, low, high = (draw(arrays(2)) for _ in range(4))
    axes = [draw(st.sampled_from([log_axis, axis_from_zero, even_axis])) for _ in range(2)]
    style, edges, heights = Style("#123456"), np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.5])
    marks = [
        Line(x, y, style, "line", low, high),
        Points(x, y, style, "points", low, high, joined=True),
        Points(x, y, style, "across", low, high, across=True, hollow=True),
        Bars(edges, 0 * heights, heights, "#123456", "bars"),
        Outline(edges, heights, "outline"),
        Rule(float(x[0]), "rule"),
        Rule(float(x[0]), span=(0.0, 1.0)),
    ]
    every = np.concatenate([x, y, low, high])
    return Panel("title", axes[0]("x", every), axes[1]("y", every), marks, [Tip(float(x[0]), float(y[0]), "told")])


def any_losses(cells):
    """Losses of one to four runs of each of some cells `(cells, runs)`, any kind of loss."""
    return st.integers(1, 4).flatmap(
        lambda runs: st.lists(st.lists(LOSSES, min_size=runs, max_size=runs), min_size=cells, max_size=cells)
    )
