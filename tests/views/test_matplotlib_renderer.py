"""Pictures by Matplotlib: any numbers can be drawn, nothing is cut, and no text lies on another."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from helpers import made_up_sweep, swept_cell
from hypothesis import given, settings
from matplotlib.backends.backend_agg import FigureCanvasAgg
from strategies import panels

from mmoe_repro.findings.dead_units import with_live_units
from mmoe_repro.findings.gates import gates_summary
from mmoe_repro.findings.losses import choose_rates
from mmoe_repro.names import NAMES
from mmoe_repro.views import figures, matplotlib_renderer
from mmoe_repro.views.panels import ROWS, Axis, Line, Panel, Picture, Style, in_files
from mmoe_repro.views.style import series_of

SETTINGS = {"model.activation": ["relu", "leaky_relu"], "training.warmup": [0, 1000], "data.label_variance": [None, 1]}


@pytest.mark.filterwarnings("error")
@settings(max_examples=25)
@given(panels())
def test_any_numbers_are_drawn_without_a_warning(panel):
    matplotlib_renderer.draw(Picture("title", "note", "words", [panel], 1)).canvas.draw()


def texts_of(figure):
    """Each text that can be read in a figure with its box in pixels, and the figure's own size."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    found = list(figure.texts)
    for axes in figure.axes:
        if axes.get_visible():
            found += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
            found += [tick.label1 for axis in (axes.xaxis, axes.yaxis) for tick in axis.get_major_ticks()]
    for legend in figure.legends:
        found += legend.get_texts()
    shown = [one for one in found if one.get_visible() and one.get_text().strip()]
    return [(one.get_text(), one.get_window_extent(renderer)) for one in shown], canvas.get_width_height()


def faults(picture):
    """Texts of a picture that are cut, and pairs that overlap by more than a pixel."""
    boxes, (wide, tall) = texts_of(matplotlib_renderer.draw(picture))
    cut = [text for text, box in boxes if box.x0 < -1 or box.y0 < -1 or box.x1 > wide + 1 or box.y1 > tall + 1]
    across = [
        (one, other)
        for (one, a), (other, b) in combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]
    return cut + across


def grid(models, keys):
    """Pictures of a sweep of so many models and swept keys, of two values each, at two correlations."""
    names = [*list(NAMES)[1:], "single_task"]
    swept = [
        dict(zip(list(SETTINGS)[:keys], values, strict=True)) for values in product(*list(SETTINGS.values())[:keys])
    ]
    cells = [
        swept_cell(model, "figure2_m4", p, settings={"tower": 8, **values}, swept=values)
        for values in swept
        for model in names[:models]
        for p in (0.5, 0.9)
    ]
    generator = np.random.default_rng(0)
    made = made_up_sweep(cells, generator.uniform(0.04, 0.5, (len(cells), 2)))
    runs = with_live_units(cells, made.runs)
    series = series_of(cells, choose_rates(cells, pd.DataFrame()))
    of_cell = runs.groupby("cell")["final_loss"]
    table = {key: of_cell.mean() * factor for key, factor in (("", 1.0), ("_low", 0.9), ("_high", 1.1))}
    losses = pd.concat(
        [pd.DataFrame({f"{of}{end}": values for end, values in table.items()}).assign(loss=loss, task=1).reset_index()
         for loss, of in (("final", "mean"), ("test", "sd"))]
    )  # fmt: skip
    found = {
        "curves": figures.curves(series, made.mean_curves, 1.0),
        "histograms": figures.histograms(series, runs, 1.0),
        "spread": figures.spread(series, losses, 1.0),
        "correlation": figures.correlation(series, losses, 1.0),
        "live_units": figures.live_units(series, runs),
        "gates": figures.gates(series, gates_summary(cells, runs, made.gates)),
        "trainability": figures.trainability(cells, made.runs),
    }
    return {name: picture for name, picture in found.items() if picture is not None}


#: By numbers of models and of swept keys; the rest run in CI and with `pytest -m slow`.
QUICK = [(1, 0), (2, 1), (7, 0)]
SLOW = [(3, 0), (3, 2), (3, 3), (5, 1), (6, 3), (9, 2), (12, 0), (12, 3)]


@pytest.mark.parametrize(("models", "keys"), [*QUICK, *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW)])
def test_no_text_is_cut_or_lies_on_another(models, keys):
    for name, whole in grid(models, keys).items():
        files = in_files(name, whole)
        assert sum(len(one.panels) for one in files.values()) == len(whole.panels)
        assert all(len(one.panels) <= one.columns * ROWS for one in files.values())
        for of_file in list(files)[:1]:
            found = faults(files[of_file])
            assert not found, (of_file, found[:5])


@pytest.mark.parametrize("factor", [1.5, 20, 300, 1e5])
def test_numbers_of_a_logarithmic_axis_do_not_overprint(factor):
    x, y = Axis("step", 0, 10_000), Axis("loss", 0.004, 0.004 * factor, log=True)
    assert not faults(Picture("title", "", "", [Panel("panel", x, y)] * 4, 4, (2.9, 2.3)))


def test_an_axis_is_said_once_only_where_a_whole_row_or_column_has_it():
    share, steps, gains = Axis("share", 0, 1), Axis("steps", 0, 9), Axis("gain", 0, 3)
    picture = Picture("", "", "", [Panel("", x, share) for x in (steps, gains, steps, steps, gains, gains)], 2)
    axes = matplotlib_renderer.draw(picture).axes
    assert [one.get_xlabel() for one in axes] == ["steps", "gain", "steps", "steps", "gain", "gain"]
    assert [one.get_ylabel() for one in axes] == ["share", ""] * 3
    alike = Picture("", "", "", [Panel("", steps, y) for y in (share, gains, share, share)], 2)
    axes = matplotlib_renderer.draw(alike).axes
    assert [one.get_xlabel() for one in axes] == ["", "", "steps", "steps"]
    assert [one.get_ylabel() for one in axes] == ["share", "gain", "share", ""]


def test_overlaps_and_cuts_are_found():
    x = Axis("a label that is far too long for such a panel, so that it has to be broken into lines" * 3, 0, 1)
    assert faults(Picture("t" * 200, "", "", [Panel("p" * 90, x, x)] * 3, 3))


def test_a_legend_is_read_in_rows():
    x, axis = np.arange(2.0), Axis("", 0, 1)
    labels = [f"a model of some length, number {number}" for number in range(5)]
    picture = Picture("", "", "", [Panel("", axis, axis, [Line(x, x, Style("#123456"), label) for label in labels])], 1)
    boxes, _ = texts_of(matplotlib_renderer.draw(picture))
    places = {text: (-round(box.y0), box.x0) for text, box in boxes if text in labels}
    assert sorted(labels, key=places.__getitem__) == labels
