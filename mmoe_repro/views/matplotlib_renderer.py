"""Pictures, drawn by Matplotlib."""

import io
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from mmoe_repro.views.panels import Axis, Bars, Line, Mark, Outline, Panel, Picture, Points, Rule, Tiles
from mmoe_repro.views.style import INK

#: The look of every figure of the program, for `matplotlib.rc_context`.
STYLE: Any = {
    **{key: value for key, value in matplotlib.rcParamsDefault.items() if key != "backend"},
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 8.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8.5,
    "figure.constrained_layout.use": True,
    "figure.dpi": 150,
    "font.size": 8.5,
    "grid.alpha": 0.3,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "mmoe-repro",  # so that the same figure is the same file
    "text.parse_math": False,  # a name may have dollar signs
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}
#: Height in inches of a row of a panel whose y axis has names.
_ROW = 0.3
#: Width in inches of a letter of a legend, a name on an axis or a panel's title; of the title; of what is below it.
_LETTER, _TITLE, _SMALL = 0.072, 0.098, 0.066
#: Heights in inches of a line of the title, of what is below it, and of a panel's title.
_TITLE_LINE, _SMALL_LINE, _PANEL_LINE = 0.2, 0.15, 0.15
_FAINT = "#555555"
#: Stands for a space at which no line is broken.
_KEPT = "\x00"
#: Letters of a label along a y axis.
_LETTERS_UP = 22


def contents(picture: Picture, mark: str) -> dict[str, bytes]:
    """A picture as the content of its files, by their ending; the PNG file records `mark`."""
    figure, found = draw(picture), {}
    for ending, metadata in ((".svg", {"Date": None}), (".png", {"Picture": mark})):
        buffer = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            figure.savefig(buffer, format=ending[1:], metadata=metadata)
        found[ending] = buffer.getvalue()
    return found


def draw(picture: Picture) -> Figure:
    """Draw a picture in the program's style: its title, its panels in a grid, one legend for all below them."""
    with matplotlib.rc_context(STYLE):
        return _draw(picture)


def _draw(picture: Picture) -> Figure:
    columns = min(picture.columns, len(picture.panels))
    rows = -(-len(picture.panels) // columns)
    width, height = picture.size
    names = [panel.y.names for panel in picture.panels]
    if any(names):
        height = 0.9 + _ROW * max(map(len, names))
        width += _LETTER * max(len(name) for of_panel in names for name in of_panel)
    wide = max(5.5, width * columns)
    # A narrow picture is made wider, and its panels with it.
    width = wide / columns
    letters = int((width - 0.75) / _LETTER)
    titles = [_wrapped(panel.title, letters) for panel in picture.panels]
    heads = [
        *((line, 10.5, "bold", INK, _TITLE_LINE) for line in textwrap.wrap(picture.title, int(wide / _TITLE))),
        *(
            (line, 8, "normal", _FAINT, _SMALL_LINE)
            for text in (picture.note, picture.about)
            for line in textwrap.wrap(text, int(wide / _SMALL))
        ),
    ]
    head = 0.12 + sum(line[-1] for line in heads)
    labels = list(picture.legend)
    of_legend = max(1, int(wide / (0.55 + _LETTER * max(map(len, labels), default=0))))
    foot = 0.1 + 0.18 * -(-len(labels) // of_legend)
    title_lines = max(title.count("\n") for title in titles)
    tall = (height + _PANEL_LINE * title_lines) * rows + head + foot
    figure = Figure(figsize=(wide, tall))
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, 0, 1, 1 - head / tall), w_pad=0.08, h_pad=0.06)
    at = 0.06
    for text, size, weight, color, line in heads:
        figure.text(0.1 / wide, 1 - at / tall, text, fontsize=size, fontweight=weight, color=color, va="top")
        at += line
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, panel, title in zip(grid.flat, picture.panels, titles, strict=False):
        _panel(axes, panel, title, letters)
    for axes in list(grid.flat)[len(picture.panels) :]:
        axes.set_visible(False)
    for number, panel in enumerate(picture.panels):  # said once where a whole row or column agrees
        axes, place = grid.flat[number], number % columns
        if place and all(other.y == panel.y for other in picture.panels[number - place :][:columns]):
            axes.tick_params(labelleft=False)
            axes.set_ylabel("")
        in_column = picture.panels[place::columns]
        if panel is not in_column[-1] and all(other.x == panel.x for other in in_column):
            axes.tick_params(labelbottom=False)
            axes.set_xlabel("")
    _legend(figure, labels, of_legend)
    return figure


def _wrapped(text: str, letters: int) -> str:
    """Text in lines of so many letters at most, broken at commas rather than between a setting and its value."""
    letters = max(letters, 8)
    lines: list[str] = []
    for line in text.split("\n"):
        if len(line) <= letters:
            lines.append(line)
            continue
        parts = re.split("(?<=,) ", line)
        kept = [part.replace(" ", _KEPT) if len(part) <= letters else part for part in parts]
        lines += textwrap.wrap(" ".join(kept), letters)
    return "\n".join(lines).replace(_KEPT, " ")


def _panel(axes: Axes, panel: Panel, title: str, letters: int) -> None:
    # Axes first: a mark then never decides, or warns, where they end.
    _axis(axes, "x", panel.x, max(2, min(letters // 8, 9)))
    _axis(axes, "y", panel.y, 5)
    for mark in panel.marks:
        _mark(axes, mark, panel.x, panel.y)
    axes.set_title(title)
    axes.set_xlabel(_wrapped(panel.x.label, letters))
    axes.set_ylabel(_wrapped(panel.y.label, _LETTERS_UP))
    if panel.empty:
        axes.text(0.5, 0.5, panel.empty, transform=axes.transAxes, ha="center", va="center", color=_FAINT)


def _axis(axes: Axes, which: str, axis: Axis, most: int) -> None:
    if axis.log:
        getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"set_{which}lim")(axis.low, axis.high, auto=False)
    of_axes, ticks = getattr(axes, f"{which}axis"), axis.ticks(most)
    of_axes.set_major_locator(FixedLocator([value for value, _ in ticks]))
    of_axes.set_major_formatter(FixedFormatter([text for _, text in ticks]))
    of_axes.set_minor_locator(NullLocator())


def _mark(axes: Axes, mark: Mark, x: Axis, y: Axis) -> None:
    match mark:
        case Line():
            width, color, at = 1.0 if mark.thin else 1.5, mark.style.color, x.held(mark.x)
            axes.plot(at, y.held(mark.y), color=color, linestyle=_dash(mark), lw=width, label=mark.label)
            if mark.low is not None and mark.high is not None:
                axes.fill_between(at, y.held(mark.low), y.held(mark.high), color=color, alpha=0.15, linewidth=0)
        case Points():
            _points(axes, mark, x, y)
        case Bars():
            axes.stairs(mark.tops, mark.edges, baseline=mark.bottoms, fill=True, color=mark.color, label=mark.label)
        case Outline():
            axes.stairs(mark.tops, mark.edges, color=INK, lw=1, ls="--", label=mark.label)
        case Rule():
            at, ends = x.held([mark.x] * 2), mark.span or (y.low, y.high)
            axes.plot(at, ends, color=INK, ls="--", lw=1, label=mark.label)
        case Tiles():
            _tiles(axes, mark)


def _tiles(axes: Axes, mark: Tiles) -> None:
    axes.grid(False)
    axes.imshow(mark.shades, cmap="Blues", vmin=0, vmax=1.25, aspect="auto")  # so that text is legible on the darkest
    for row, texts in enumerate(mark.texts):
        for column, text in enumerate(texts):
            color = "white" if mark.shades[row, column] > 0.7 else INK
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=color)


def _points(axes: Axes, mark: Points, x: Axis, y: Axis) -> None:
    values, error, axis = (mark.x, "xerr", x) if mark.across else (mark.y, "yerr", y)
    ends = {}
    if mark.low is not None and mark.high is not None:
        values, low, high = (axis.held(each) for each in (values, mark.low, mark.high))
        ends[error] = np.nan_to_num([values - low, high - values]).clip(0)
    axes.errorbar(
        x.held(mark.x),
        y.held(mark.y),
        **ends,
        color=mark.style.color,
        marker=mark.style.marker or None,
        markersize=5,
        markerfacecolor="none" if mark.hollow else mark.style.color,  # so that what lies below it is seen
        linestyle=_dash(mark) if mark.joined else "",
        lw=1.5,
        capsize=2.5,
        label=mark.label,
    )


def _dash(mark: Line | Points) -> Any:
    return (0, mark.style.dash) if mark.style.dash else "-"


def _legend(figure: Figure, labels: Sequence[str], columns: int) -> None:
    found = [axes.get_legend_handles_labels() for axes in figure.axes]
    handles = {label: handle for of, names in found for handle, label in zip(of, names, strict=True)}
    if labels:
        # Matplotlib fills columns first; readers read rows.
        columns = min(columns, len(labels))
        order = [label for column in range(columns) for label in labels[column::columns]]
        figure.legend([handles[label] for label in order], order, loc="outside lower center", ncols=columns)
