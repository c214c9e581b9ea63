"""What a figure is made of, as data: panels with axes and marks, which two renderers draw."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

#: Rows of panels in a file; a picture of more has several.
ROWS = 6
#: How far outside of an axis a value is held that lies beyond its end, as a share of its length.
_BEYOND = 0.02
#: No axis reaches farther than this from zero, nor nearer if it is logarithmic.
_FARTHEST, _NEAREST = 1e100, 1e-100


@dataclass(frozen=True)
class Style:
    """How a series looks in every picture.

    Attributes:
        color: of its lines, points and bars.
        marker: of its points, as Matplotlib names it.
        dash: lengths of dashes and gaps in line widths; none for a solid line.
    """

    color: str
    marker: str = "o"
    dash: tuple[float, ...] = ()


@dataclass(frozen=True)
class Axis:
    """One direction of a panel.

    Attributes:
        label: what it shows, with its unit.
        low, high: its ends.
        log: whether it is logarithmic.
        names: instead of numbers, names at 0, 1, 2, …
        at: where numbers are written; None to choose.
    """

    label: str
    low: float
    high: float
    log: bool = False
    names: tuple[str, ...] = ()
    at: tuple[float, ...] | None = None

    def share(self, values: Any) -> np.ndarray:
        """Where values lie between the ends, 0 to 1; those beyond are held just outside, NaN stays.

        So that a renderer never gets a number that it cannot place, such as an interval's infinite end.
        """
        low, high, at = (np.asarray(value, float) for value in (self.low, self.high, values))
        if self.log:
            low, high, at = np.log(low), np.log(high), np.log(np.maximum(at, self.low / 2))
        return np.asarray(np.clip((at - low) / (high - low), -_BEYOND, 1 + _BEYOND))

    def held(self, values: Any) -> np.ndarray:
        """The values, those beyond the ends being held just outside, as by `share`."""
        if self.log:
            beyond = (self.high / self.low) ** _BEYOND
            return np.asarray(np.clip(np.asarray(values, float), self.low / beyond, self.high * beyond))
        beyond = _BEYOND * (self.high - self.low)
        return np.asarray(np.clip(np.asarray(values, float), self.low - beyond, self.high + beyond))

    def ticks(self, most: int = 5) -> list[tuple[float, str]]:
        """Values and what is written beside them.

        Args:
            most: about how many numbers there is room for.
        """
        if self.names:
            return list(enumerate(self.names))
        values = self._values(most) if self.at is None else list(self.at)
        return [(value, f"{value:,.6g}") for value in values]

    def _values(self, most: int) -> list[float]:
        evenly = self._inside(MaxNLocator(most).tick_values(self.low, self.high))
        if not self.log:
            return evenly
        # The finest of these that leaves room for each number.
        for subs in ((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
            values = self._inside(LogLocator(subs=subs, numticks=99).tick_values(self.low, self.high))
            if len(values) <= most + 1:
                break
        return values if len(values) > 1 else evenly

    def _inside(self, values: Sequence[float] | np.ndarray) -> list[float]:
        slack = 1e-9 * (self.high - self.low)
        return [float(value) for value in values if self.low - slack <= value <= self.high + slack]


def log_axis(label: str, values: Sequence[float] | np.ndarray, low: float | None = None) -> Axis:
    """A logarithmic axis that holds all positive values; 0.1 to 1 where there are none."""
    known = np.asarray(values, float)
    known = known[(known >= _NEAREST) & (known <= _FARTHEST)]
    if not known.size:
        return Axis(label, 0.1, 1.0, log=True)
    least, most = float(known.min()) if low is None else low, float(known.max())
    most = max(most, least)
    room = max(1.05, (most / least) ** 0.03)  # for the marks at the ends
    return Axis(label, least / room, most * room, log=True)


def axis_from_zero(label: str, values: Sequence[float] | np.ndarray, least: float = 0.0) -> Axis:
    """An axis from 0 that holds all finite values, and reaches to `least` at least; to 1 where nothing is above 0."""
    known = np.asarray(values, float)
    top = max(float(known[abs(known) <= _FARTHEST].max(initial=0.0)), least)
    return Axis(label, 0.0, 1.05 * top if top > _NEAREST else 1.0)


def even_axis(label: str, values: Sequence[float] | np.ndarray) -> Axis:
    """An axis that holds all finite values, with a little room on either side; −1 to 1 where there are none."""
    known = np.asarray(values, float)
    known = known[abs(known) <= _FARTHEST]
    if not known.size:
        return Axis(label, -1.0, 1.0)
    least, most = float(known.min()), float(known.max())
    pad = 0.08 * (most - least) or abs(least) or 1.0
    return Axis(label, least - pad, most + pad)


@dataclass(frozen=True)
class Line:
    """A line through points `(n,)`, not where one is missing, with a band between `low` and `high` if there is one."""

    x: np.ndarray
    y: np.ndarray
    style: Style
    label: str = ""
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    thin: bool = False


@dataclass(frozen=True)
class Points:
    """Points `(n,)` with intervals from `low` to `high`, along y or with `across` along x; joined by a line or not."""

    x: np.ndarray
    y: np.ndarray
    style: Style
    label: str = ""
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    across: bool = False
    joined: bool = False
    hollow: bool = False


@dataclass(frozen=True)
class Bars:
    """Filled bars between `edges` `(n + 1,)`, from `bottoms` to `tops` `(n,)`."""

    edges: np.ndarray
    bottoms: np.ndarray
    tops: np.ndarray
    color: str
    label: str = ""


@dataclass(frozen=True)
class Outline:
    """The outline of bars with these tops `(n,)` between `edges` `(n + 1,)`; the paper's."""

    edges: np.ndarray
    tops: np.ndarray
    label: str = ""


@dataclass(frozen=True)
class Rule:
    """A dashed line at a value of x, over all of y or from one value of it to another."""

    x: float
    label: str = ""
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Tiles:
    """A square for each row (y) and column (x), at 0, 1, 2, …, from white to dark.

    `shades` is `(rows, columns)` in [0, 1], and each of as many `texts` is written on its square.
    """

    shades: np.ndarray
    texts: Sequence[Sequence[str]]


Mark = Line | Points | Bars | Outline | Rule | Tiles


@dataclass(frozen=True)
class Tip:
    """What a reader who points near (x, y) is shown; lines are parted by newlines."""

    x: float
    y: float
    text: str


@dataclass
class Panel:
    """A small chart.

    Attributes:
        title: above it.
        x, y: its axes.
        marks: what is drawn, in this order.
        tips: what pointing at it shows.
        empty: what is written across it in place of marks; none if it has some.
    """

    title: str
    x: Axis
    y: Axis
    marks: list[Mark] = field(default_factory=list)
    tips: list[Tip] = field(default_factory=list)
    empty: str = ""

    def has(self, *kinds: type) -> bool:
        """Whether it holds a mark of any of these kinds."""
        return any(isinstance(mark, kinds) for mark in self.marks)


@dataclass(frozen=True)
class Picture:
    """Panels that belong together.

    Attributes:
        title: what they show, for a figure that stands alone.
        note: what a reader has to know to read them.
        words: what can be seen there, for those who cannot see it.
        panels: in reading order.
        columns: how many stand side by side in a file.
        size: width and height of a panel in a file, in inches.
        about: what data they are of, for a figure that stands alone.
    """

    title: str
    note: str
    words: str
    panels: Sequence[Panel]
    columns: int
    size: tuple[float, float] = (3.2, 3.0)
    about: str = ""

    @property
    def legend(self) -> dict[str, Mark]:
        """Labels with the first mark that has each."""
        found: dict[str, Mark] = {}
        for panel in self.panels:
            for mark in panel.marks:
                if label := getattr(mark, "label", ""):
                    found.setdefault(label, mark)
        return found


def in_files(name: str, picture: Picture) -> dict[str, Picture]:
    """A picture by the files that it takes: of more than `ROWS` rows of panels several, as even as can be."""
    columns = min(picture.columns, len(picture.panels))
    rows = -(-len(picture.panels) // columns)
    count = -(-rows // ROWS)
    if count == 1:
        return {name: picture}
    size = columns * -(-rows // count)
    parts = [picture.panels[start : start + size] for start in range(0, len(picture.panels), size)]
    return {
        name if number == 1 else f"{name}_{number}": replace(
            picture, panels=part, title=f"{picture.title} ({number} of {len(parts)})"
        )
        for number, part in enumerate(parts, 1)
    }
