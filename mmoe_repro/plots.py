"""How figures look and are written: style, colours, series, axes, legend."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, ScalarFormatter

from mmoe_repro import paper
from mmoe_repro.config import Cell
from mmoe_repro.names import NAMES
from mmoe_repro.results import SweptCell
from mmoe_repro.store import write_atomically

#: Okabe and Ito's colour-blind-safe palette; the paper's models keep their colours in every figure.
COLORS = {"shared_bottom": "#D55E00", "omoe": "#0072B2", "mmoe": "#009E73"}
_OTHER_COLORS = ("#CC79A7", "#E69F00", "#56B4E9", "#000000", "#A6A600", "#762A83", "#8C510A", "#7F7F7F", "#35978F")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
_LINES = ("-", (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (5, 1)))

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 150,
    "font.size": 9,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "mmoe-repro",  # so that the same figure is the same file
}


@dataclass(frozen=True)
class Series:
    """What one line of a figure shows: a model at one setting, over the correlations.

    Attributes:
        label: for the legend.
        model: the choice of the `model` group.
        paper_figure: the paper's that has the mean curves of such a network, `figure3` or `figure4`.
        cells: identities by correlation.
        color, marker, line: how it is drawn.
    """

    label: str
    model: str
    paper_figure: str
    cells: dict[float, str]
    color: str
    marker: str
    line: object


def series_of(cells: Sequence[SweptCell], chosen: dict[str, bool | None]) -> list[Series]:
    """Sort the cells into series. Of several learning rates the chosen ones are shown, or all if none was chosen."""
    shown = [cell for cell in cells if chosen[cell.cell.identity] is not False]
    undecided = any(chosen[cell.cell.identity] is None for cell in shown)
    apart = list(cells[0].swept) + (["learning_rate"] if undecided else [])
    if len({cell.cell.data for cell in shown}) > 1:
        apart.append("data")
    groups: dict[tuple[str, ...], dict[float, Cell]] = {}
    for cell in shown:
        name = (
            cell.cell.model,
            *(f"{key.split('.')[-1].replace('_', ' ')} {cell.keys[key]}" for key in apart),
        )
        correlation = cell.keys["correlation"]
        groups.setdefault(name, {})[np.nan if correlation is None else correlation] = cell.cell
    models = list(dict.fromkeys(name[0] for name in groups))
    variants = {model: [name for name in groups if name[0] == model] for model in models}
    return [
        Series(
            label=", ".join([NAMES.get(name[0], name[0]), *name[1:]]),
            model=name[0],
            paper_figure=paper.figure_of(next(iter(by_correlation.values())).settings["model"]),
            cells={correlation: by_correlation[correlation].identity for correlation in sorted(by_correlation)},
            color=color_of(name[0], models),
            marker=MARKERS[(models.index(name[0]) + variants[name[0]].index(name)) % len(MARKERS)],
            line=_LINES[variants[name[0]].index(name) % len(_LINES)],
        )
        for name, by_correlation in groups.items()
    ]


def color_of(model: str, models: Sequence[str]) -> str:
    """A model's colour among those of a figure."""
    others = [other for other in models if other not in COLORS]
    return COLORS[model] if model in COLORS else _OTHER_COLORS[others.index(model) % len(_OTHER_COLORS)]


def save(folder: Path, figures: Mapping[str, Callable[[], Figure]]) -> list[Path]:
    """Draw figures in the program's style and write each as PNG and SVG; return the PNG files."""
    paths = []
    with matplotlib.rc_context(_STYLE):
        for name, make in figures.items():
            figure = make()
            for ending in (".svg", ".png"):
                buffer = io.BytesIO()
                figure.savefig(buffer, format=ending[1:], metadata={"Date": None} if ending == ".svg" else None)
                write_atomically(folder / (name + ending), buffer.getvalue())
            paths.append(folder / f"{name}.png")
    for path in [*folder.glob("*.png"), *folder.glob("*.svg")]:
        if path.stem not in figures:
            path.unlink()  # of an earlier command
    return paths


def correlations_of(series: Sequence[Series]) -> list[float]:
    """The correlations that any of the series has, ascending."""
    return sorted({correlation for one in series for correlation in one.cells})


def histogram_bins(losses: np.ndarray, paper_loss: float) -> tuple[np.ndarray, bool]:
    """Bin edges for a histogram of losses, and whether they are the paper's: unless this law's losses lie elsewhere."""
    top = float(np.quantile(losses, 0.995)) if losses.size else 1.0
    like_paper, width = 0.1 <= top * paper_loss <= 1.5, 1 / 30 / paper_loss
    edges = np.arange(0, max(top, 0.64 / paper_loss) + width, width) if like_paper else np.linspace(0, top, 25)
    return edges, like_paper


def plain_log(axes: Axes) -> None:
    """A logarithmic loss axis with plain numbers, of which there is room for few where they span a decade."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high > 10 * low:
        axes.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
    for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatter = ScalarFormatter()
        formatter.set_scientific(False)
        which(formatter)
    axes.yaxis.set_tick_params(which="both", labelsize=8)


def shades_of(correlations: Sequence[float]) -> dict[float, Any]:
    """A colour for each correlation, from light to dark."""
    colors = matplotlib.colormaps["viridis"](np.linspace(0.92, 0.08, len(correlations)))
    return dict(zip(correlations, colors, strict=True))


def legend_below(figure: Figure) -> None:
    """One legend for all panels, in as many columns as the figure is wide."""
    found = [axes.get_legend_handles_labels() for axes in figure.axes]
    unique = {label: handle for handles, labels in found for handle, label in zip(handles, labels, strict=True)}
    if unique:
        columns = max(1, int(figure.get_figwidth() / 2.2))
        figure.legend(list(unique.values()), list(unique), loc="outside lower center", ncols=columns, fontsize=8)
