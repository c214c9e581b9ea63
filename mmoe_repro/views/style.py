"""How figures look: colours, markers, and which cells make a series."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.colors import to_hex

from mmoe_repro import paper
from mmoe_repro.names import NAMES, name_of, readable
from mmoe_repro.runs.results import SweptCell
from mmoe_repro.views.panels import Style

#: Colour and marker of each model, the same in every picture, and of nothing else. The paper's three have Okabe and
#: Ito's colour-blind-safe colours.
_MODELS = {
    "shared_bottom": ("#D55E00", "o"),
    "omoe": ("#0072B2", "s"),
    "mmoe": ("#009E73", "D"),
    "single_task": ("#CC79A7", "^"),
    "l2_constrained": ("#E69F00", "v"),
    "cross_stitch": ("#56B4E9", "P"),
    "tensor_factorization": ("#332288", "X"),
    "moe": ("#A6A600", "*"),
    "sparse_moe": ("#762A83", "<"),
    "stacked_moe": ("#8C510A", ">"),
    "cgc": ("#882255", "h"),
    "ple": ("#35978F", "p"),
}
#: Those of a user's own models, in the order of the sweep.
_OWN = (("#AA4499", "d"), ("#6699CC", "8"), ("#999933", "H"), ("#661100", "D"))
#: Of what is no model: the paper's ink, what stands for all else, and what is ours where there are no models.
INK, NEUTRAL, OURS = "#000000", "#7F7F7F", "#5E3C99"
#: Comparisons that hold, and that fail.
HOLDS, FAILS = "#1B5E20", "#B00020"
#: Markers of task correlations.
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
#: The dashes of the paper's own curves.
PAPER_DASH = (2.0, 3.0)
#: More models than this are not drawn over one another.
OVERLAID = 6


@dataclass(frozen=True)
class Series:
    """What one line of a picture shows: a model at one setting, over the correlations.

    Attributes:
        model: the option of the `model` group.
        variant: the setting, apart from the model, where there are several; empty if there is one.
        law: the option of the `data` group.
        paper_figure: the paper's that has the mean curves of such a network, `figure3` or `figure4`.
        cells: identities by correlation, ascending; NaN stands for a law without one.
        style: how it looks.
    """

    model: str
    variant: str
    law: str
    paper_figure: str
    cells: Mapping[float, str]
    style: Style

    @property
    def name(self) -> str:
        """Of the model, for readers."""
        return name_of(self.model)

    @property
    def label(self) -> str:
        """The model and, where there are several, its setting."""
        return ", ".join(part for part in (self.name, self.variant) if part)


def series_of(cells: Sequence[SweptCell], chosen: Mapping[str, bool | None]) -> list[Series]:
    """Sort the cells into series, by setting, and by model in the order of `models_of`.

    Of several learning rates the chosen ones are shown, or all if none was chosen.
    """
    shown = [cell for cell in cells if chosen[cell.identity] is not False]
    undecided = any(chosen[cell.identity] is None for cell in shown)
    apart = (["data"] if len({cell.data.name for cell in shown}) > 1 else []) + list(cells[0].swept)
    apart += ["learning_rate"] if undecided else []
    groups: dict[tuple[str, str, str], dict[float, SweptCell]] = {}
    for cell in shown:
        variant = ", ".join(f"{readable(key)} {cell.keys[key]}" for key in apart)
        correlation = cell.data.correlation
        by_correlation = groups.setdefault((variant, cell.model.name, cell.data.name), {})
        by_correlation[np.nan if correlation is None else correlation] = cell
    models, variants = models_of([model for _, model, _ in groups]), list(dict.fromkeys(key[0] for key in groups))
    return [
        Series(
            model=model,
            variant=variant,
            law=law,
            paper_figure=paper.figure_of(next(iter(by_correlation.values())).model.settings),
            cells={p: by_correlation[p].identity for p in sorted(by_correlation)},
            style=style_of(model, models),
        )
        for (variant, model, law), by_correlation in sorted(
            groups.items(), key=lambda of: (variants.index(of[0][0]), models.index(of[0][1]))
        )
    ]


def variants_of(series: Sequence[Series]) -> dict[str, list[Series]]:
    """The series of each setting, which share a panel."""
    found: dict[str, list[Series]] = {}
    for one in series:
        found.setdefault(one.variant, []).append(one)
    return found


def models_of(names: Iterable[str]) -> list[str]:
    """Models in the order of every legend: the built-in ones as `mmoe-repro models` has them, then a user's own."""
    order, given = list(NAMES), list(dict.fromkeys(names))
    return sorted(given, key=lambda name: order.index(name) if name in order else len(order) + given.index(name))


def style_of(model: str, models: Sequence[str], dash: tuple[float, ...] = ()) -> Style:
    """How a model looks among those of a sweep; a built-in one looks the same in all."""
    own = [other for other in models if other not in _MODELS]
    color, marker = _MODELS[model] if model in _MODELS else _OWN[own.index(model) % len(_OWN)]
    return Style(color, marker, dash)


def correlations_of(series: Sequence[Series]) -> list[float]:
    """The correlations that any of the series has, ascending."""
    return sorted({correlation for one in series for correlation in one.cells})


def title_of(correlation: float | None) -> str:
    """What a panel of a task correlation is called."""
    return "all runs" if correlation is None or np.isnan(correlation) else f"task correlation {correlation:g}"


def shades_of(correlations: Sequence[float]) -> dict[float, str]:
    """A colour for each correlation, from light to dark."""
    colors = matplotlib.colormaps["viridis"](np.linspace(0.92, 0.08, len(correlations)))
    return {p: to_hex(color) for p, color in zip(correlations, colors, strict=True)}


def tints_of(levels: int) -> list[str]:
    """Greys from dark to light, of ordered kinds that are not models."""
    return [to_hex((value, value, value)) for value in np.linspace(0.1, 0.78, levels)]
