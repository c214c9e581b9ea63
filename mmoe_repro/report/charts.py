"""The page's charts: small SVGs, one a panel, which the page lays out, colours and explains when pointed at.

Drawn here and not by a library, since a page then needs no script to be read, weighs little, and takes a second at
the end of every sweep.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from matplotlib.ticker import LogLocator, MaxNLocator

_WIDTH, _HEIGHT = 360, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 10, 24, 36


@dataclass(frozen=True)
class Axis:
    """One direction of a panel.

    Attributes:
        label: what it shows.
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
        """Where values lie between the ends, from 0 to 1."""
        low, high, values = (np.asarray(value, float) for value in (self.low, self.high, values))
        if self.log:
            low, high, values = np.log(low), np.log(high), np.log(values)
        return np.asarray(np.clip((values - low) / (high - low), -0.02, 1.02))

    def ticks(self) -> list[tuple[float, str]]:
        """Values and what is written beside them."""
        if self.names:
            return list(enumerate(self.names))
        decades = self.log and self.high > 4 * self.low
        locator = LogLocator(subs=(1, 2, 5)) if decades else MaxNLocator(5)
        values = self.at or locator.tick_values(self.low, self.high)
        return [(value, f"{value:,.6g}") for value in values if self.low <= value <= self.high]


@dataclass
class Panel:
    """A small chart: marks are added one by one, and what is told of them when they are pointed at.

    Attributes:
        title: above it.
        x, y: its axes.
        height: of the picture, in its own units; the width is 360.
        left: room for what is written on the y axis.
    """

    title: str
    x: Axis
    y: Axis
    height: int = _HEIGHT
    left: int = _LEFT
    _marks: list[str] = field(default_factory=list)
    _tips: list[tuple[float, float, str]] = field(default_factory=list)

    def _points(self, x: Any, y: Any) -> list[tuple[float, float]]:
        across = self.left + self.x.share(x) * (_WIDTH - self.left - _RIGHT)
        down = self.height - _BOTTOM - self.y.share(y) * (self.height - _BOTTOM - _TOP)
        return [(round(float(a), 1), round(float(d), 1)) for a, d in zip(across, down, strict=True)]

    def line(self, x: Any, y: Any, color: str, dash: str = "") -> None:
        """A line through points; not where a value is missing."""
        finite = np.isfinite(np.asarray(y, float))
        path = " ".join(f"{a},{d}" for a, d in self._points(np.asarray(x)[finite], np.asarray(y)[finite]))
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._marks.append(f'<polyline class="line" style="--c:{color}"{dashed} points="{path}"/>')

    def band(self, x: Any, low: Any, high: Any, color: str) -> None:
        """The area between two lines."""
        corners = [*self._points(x, low), *reversed(self._points(x, high))]
        path = " ".join(f"{a},{d}" for a, d in corners)
        self._marks.append(f'<polygon class="band" style="--c:{color}" points="{path}"/>')

    def interval(self, low: tuple[float, float], high: tuple[float, float], color: str) -> None:
        """A thin line between two points, of an interval."""
        if not np.isfinite([*low, *high]).all():
            return
        (x1, y1), (x2, y2) = self._points(*zip(low, high, strict=True))
        place = f'x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"'
        self._marks.append(f'<line class="interval" style="--c:{color}" {place}/>')

    def point(self, x: float, y: float, color: str) -> None:
        """A dot."""
        if np.isfinite([x, y]).all():
            ((across, down),) = self._points([x], [y])
            self._marks.append(f'<circle class="point" style="--c:{color}" cx="{across}" cy="{down}" r="3.5"/>')

    def bars(self, edges: np.ndarray, bottoms: np.ndarray, tops: np.ndarray, color: str) -> None:
        """Filled bars between edges; none where a bar has no height."""
        for left, right, bottom, top in zip(edges[:-1], edges[1:], bottoms, tops, strict=True):
            if top > bottom:
                (x1, y1), (x2, y2) = self._points([left, right], [top, bottom])
                place = f'x="{x1}" y="{y1}" width="{max(x2 - x1 - 0.4, 0.4):.1f}" height="{y2 - y1:.1f}"'
                self._marks.append(f'<rect class="bar" style="--c:{color}" {place}/>')

    def outline(self, edges: Any, tops: Any) -> None:
        """The outline of bars, of the paper's."""
        path = self._points(np.repeat(edges, 2), np.concatenate([[0], np.repeat(tops, 2), [0]]))
        self._marks.append(f'<polyline class="outline" points="{" ".join(f"{a},{d}" for a, d in path)}"/>')

    def upright(self, x: float, y: tuple[float, float] | None = None) -> None:
        """A dashed line at a value of x, over all of y or a part of it."""
        (x1, y1), (x2, y2) = self._points([x, x], y or (self.y.low, self.y.high))
        self._marks.append(f'<line class="bound" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')

    def tip(self, x: float, y: float, text: str) -> None:
        """What is told where the panel is pointed at near here; lines are parted by newlines."""
        if np.isfinite([x, y]).all():
            ((across, down),) = self._points([x], [y])
            self._tips.append((across, down, text))

    def svg(self) -> Markup:
        """The panel as markup; `data-tips` holds what it tells, for the page's script."""
        bottom, right = self.height - _BOTTOM, _WIDTH - _RIGHT
        ticks = []
        for value, text in self.x.ticks():
            ((across, _),) = self._points([value], [self.y.low])
            ticks.append(f'<text x="{across}" y="{bottom + 14}" text-anchor="middle">{escape(text)}</text>')
        for value, text in self.y.ticks():
            ((_, down),) = self._points([self.x.low], [value])
            ticks.append(f'<line class="grid" x1="{self.left}" x2="{right}" y1="{down}" y2="{down}"/>')
            ticks.append(f'<text x="{self.left - 6}" y="{down + 3.5}" text-anchor="end">{escape(text)}</text>')
        center, middle = (self.left + right) / 2, (_TOP + bottom) / 2
        written = [
            f'<text class="title" x="{center}" y="14" text-anchor="middle">{escape(self.title)}</text>',
            f'<text x="{center}" y="{self.height - 6}" text-anchor="middle">{escape(self.x.label)}</text>',
            f'<text transform="translate(11 {middle}) rotate(-90)" text-anchor="middle">{escape(self.y.label)}</text>',
            f'<line class="axis" x1="{self.left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>',
        ]
        tips = escape(json.dumps(sorted(self._tips), separators=(",", ":")))
        parts = "".join([*ticks, *written, *self._marks])
        return Markup(
            f'<svg viewBox="0 0 {_WIDTH} {self.height}" role="img" tabindex="0" data-tips="{tips}" '
            f'aria-label="{escape(self.title)}">{parts}</svg>'
        )


@dataclass(frozen=True)
class Chart:
    """Panels that belong together.

    Attributes:
        caption: what they show, for everyone.
        alternative: what can be seen there, for those who cannot see it.
        panels: in reading order.
        legend: labels with a colour and a kind of mark, `line` and its dashes, `bar` or `outline`.
    """

    caption: str
    alternative: str
    panels: Sequence[Panel]
    legend: Sequence[tuple[str, str, str]] = ()
