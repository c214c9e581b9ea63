"""Figures on the page: each panel a small SVG, which the page lays out, colours and explains when pointed at.

Drawn here and not by a library, since a page then needs no script to be read, weighs little, and takes a second at
the end of every sweep.
"""

import json
import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from mmoe_repro.views.panels import Bars, Line, Mark, Outline, Panel, Points, Rule, Tiles

_WIDTH, _HEIGHT = 360, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 10, 24, 36
#: Height of a line of text; of a row of a panel whose y axis has names, which stand above their rows; and of its frame.
_LINE, _ROW, _FRAME = 13, 34, 62
#: Letters of a line of a title, which is bold, and of a name.
_TITLE_LETTERS, _NAME_LETTERS = 42, 54
#: Markers of as many corners, the first of which is turned by so many degrees from the top.
_CORNERS: dict[str, tuple[int, float]] = {
    "s": (4, 45),
    "D": (4, 0),
    "d": (4, 0),
    "^": (3, 0),
    "v": (3, 180),
    "<": (3, -90),
    ">": (3, 90),
}
_CORNERS |= {"p": (5, 0), "h": (6, 0), "H": (6, 30), "8": (8, 22.5)}
#: Markers of as many points, turned by so many degrees, and how deep the notches between are.
_STARS = {"*": (5, 0, 0.4), "P": (4, 0, 0.35), "X": (4, 45, 0.35)}


class _Frame:
    """Where a panel's values lie in its picture."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        names = panel.y.names
        self.title = [part for line in panel.title.split("\n") for part in textwrap.wrap(line, _TITLE_LETTERS)]
        self.top = 10 + _LINE * len(self.title)
        self.names = [textwrap.wrap(name, _NAME_LETTERS) for name in names]
        row = _ROW + _LINE * (max(map(len, self.names), default=1) - 1)
        self.height = (_FRAME + row * len(names) if names else _HEIGHT - _TOP) + self.top
        self.left = 10 if names else _LEFT

    def points(self, x: Any, y: Any) -> list[tuple[float, float]]:
        across = self.left + self.panel.x.share(x) * (_WIDTH - self.left - _RIGHT)
        down = self.height - _BOTTOM - self.panel.y.share(y) * (self.height - _BOTTOM - self.top)
        return [(round(float(a), 1), round(float(d), 1)) for a, d in zip(across, down, strict=True)]


def _path(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{across},{down}" for across, down in points)


def dashes(mark: Line | Points) -> str:
    """A kind of line for `stroke-dasharray`."""
    return " ".join(f"{3 * length:g}" for length in mark.style.dash)


def _stroke(mark: Line | Points) -> str:
    return f' stroke-dasharray="{dashes(mark)}"' if mark.style.dash else ""


def _line(frame: _Frame, mark: Line | Points) -> str:
    x, y = np.asarray(mark.x, float), np.asarray(mark.y, float)
    finite = ~(np.isnan(x) | np.isnan(y))
    kind = "thin line" if isinstance(mark, Line) and mark.thin else "line"
    path = _path(frame.points(x[finite], y[finite]))
    return f'<polyline class="{kind}" style="--c:{mark.style.color}"{_stroke(mark)} points="{path}"/>'


def _band(frame: _Frame, mark: Line) -> str:
    x, low, high = (np.asarray(values, float) for values in (mark.x, mark.low, mark.high))
    known = ~np.isnan([x, low, high]).any(axis=0)
    corners = [*frame.points(x[known], low[known]), *reversed(frame.points(x[known], high[known]))]
    return f'<polygon class="band" style="--c:{mark.style.color}" points="{_path(corners)}"/>'


def _points(frame: _Frame, mark: Points) -> list[str]:
    drawn = [_line(frame, mark)] if mark.joined else []
    color = f'style="--c:{mark.style.color}"'
    if mark.low is not None and mark.high is not None:
        for x, y, low, high in zip(mark.x, mark.y, mark.low, mark.high, strict=True):
            if not np.isnan([x, y, low, high]).any():
                ends = ([low, high], [y, y]) if mark.across else ([x, x], [low, high])
                (x1, y1), (x2, y2) = frame.points(*ends)
                drawn.append(f'<line class="interval" {color} x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')
    for x, y in zip(mark.x, mark.y, strict=True):
        if not np.isnan([x, y]).any():
            ((across, down),) = frame.points([x], [y])
            drawn.append(_marker(mark, across, down, color))
    return drawn


def _marker(mark: Points, across: float, down: float, color: str) -> str:
    """A point in the shape of its marker."""
    kind, shape = "hollow point" if mark.hollow else "point", mark.style.marker
    if shape in _CORNERS:
        corners, turned = _CORNERS[shape]
        radii = np.full(corners, 4.4)
    elif shape in _STARS:
        points, turned, depth = _STARS[shape]
        radii, corners = 4.8 * np.tile([1.0, depth], points), 2 * points
    else:
        return f'<circle class="{kind}" {color} cx="{across}" cy="{down}" r="3.5"/>'
    angles = np.deg2rad(turned + np.arange(corners) * 360 / corners)
    at = zip(across + radii * np.sin(angles), down - radii * np.cos(angles), strict=True)
    return f'<polygon class="{kind}" {color} points="{_path((round(x, 1), round(y, 1)) for x, y in at)}"/>'


def _bars(frame: _Frame, mark: Bars) -> list[str]:
    drawn = []
    for left, right, bottom, top in zip(mark.edges[:-1], mark.edges[1:], mark.bottoms, mark.tops, strict=True):
        if top > bottom:
            (x1, y1), (x2, y2) = frame.points([left, right], [top, bottom])
            place = f'x="{x1}" y="{y1}" width="{max(x2 - x1 - 0.4, 0.4):.1f}" height="{y2 - y1:.1f}"'
            drawn.append(f'<rect class="bar" style="--c:{mark.color}" {place}/>')
    return drawn


def _outline(frame: _Frame, mark: Outline) -> str:
    path = _path(frame.points(np.repeat(mark.edges, 2), np.concatenate([[0], np.repeat(mark.tops, 2), [0]])))
    return f'<polyline class="outline" points="{path}"/>'


def _rule(frame: _Frame, mark: Rule) -> str:
    y = frame.panel.y
    if np.isnan(mark.x):
        return ""
    (x1, y1), (x2, y2) = frame.points([mark.x, mark.x], mark.span or (y.low, y.high))
    return f'<line class="bound" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def _tiles(frame: _Frame, mark: Tiles) -> list[str]:
    drawn = []
    for row, texts in enumerate(mark.texts):
        for column, text in enumerate(texts):
            ends = frame.points([column - 0.5, column, column + 0.5], [row - 0.5, row, row + 0.5])
            (x1, y1), (x, y), (x2, y2) = ends
            shade = float(mark.shades[row, column])
            place = f'x="{min(x1, x2)}" y="{min(y1, y2)}" width="{abs(x2 - x1):.1f}" height="{abs(y2 - y1):.1f}"'
            drawn.append(f'<rect class="tile" style="fill-opacity:{shade:.2f}" {place}/>')
            kind = "dark tile-text" if shade > 0.6 else "tile-text"
            drawn.append(f'<text class="{kind}" x="{x}" y="{y + 3.5:.1f}" text-anchor="middle">{escape(text)}</text>')
    return drawn


def _mark(frame: _Frame, mark: Mark) -> list[str]:
    match mark:
        case Line():
            return [*([] if mark.low is None else [_band(frame, mark)]), _line(frame, mark)]
        case Points():
            return _points(frame, mark)
        case Bars():
            return _bars(frame, mark)
        case Outline():
            return [_outline(frame, mark)]
        case Rule():
            return [_rule(frame, mark)]
        case Tiles():
            return _tiles(frame, mark)


def draw(panel: Panel) -> Markup:
    """A panel as markup; `data-tips` holds what pointing at it shows, for the page's script."""
    frame = _Frame(panel)
    left, right, bottom = frame.left, _WIDTH - _RIGHT, frame.height - _BOTTOM
    drawn = []
    for value, text in panel.x.ticks():
        ((across, _),) = frame.points([value], [panel.y.low])
        # A number at the right end stays within the picture.
        over = across + 3.2 * len(text) > _WIDTH
        place = f'x="{_WIDTH if over else across}" text-anchor="{"end" if over else "middle"}"'
        drawn.append(f'<text {place} y="{bottom + 14}">{escape(text)}</text>')
    for number, (value, text) in enumerate(panel.y.ticks()):
        ((_, down),) = frame.points([panel.x.low], [value])
        drawn.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{down}" y2="{down}"/>')
        if panel.y.names:
            lines = frame.names[number]
            for above, line in enumerate(reversed(lines)):
                drawn.append(f'<text class="name" x="{left}" y="{down - 11 - _LINE * above}">{escape(line)}</text>')
        else:
            drawn.append(f'<text x="{left - 6}" y="{down + 3.5}" text-anchor="end">{escape(text)}</text>')
    center, middle = (left + right) / 2, (frame.top + bottom) / 2
    for number, line in enumerate(frame.title):
        place = f'x="{center}" y="{14 + _LINE * number}" text-anchor="middle"'
        drawn.append(f'<text class="{"title" if number == 0 else ""}" {place}>{escape(line)}</text>')
    drawn += [
        f'<text x="{center}" y="{frame.height - 6}" text-anchor="middle">{escape(panel.x.label)}</text>',
        f'<text transform="translate(11 {middle}) rotate(-90)" text-anchor="middle">{escape(panel.y.label)}</text>',
        f'<line class="axis" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>',
    ]
    if panel.empty:
        drawn.append(f'<text x="{center}" y="{middle}" text-anchor="middle">{escape(panel.empty)}</text>')
    marks = [text for mark in panel.marks for text in _mark(frame, mark)]
    placed = [(*frame.points([tip.x], [tip.y])[0], tip.text) for tip in panel.tips if np.isfinite([tip.x, tip.y]).all()]
    # Only what tells something when it is reached is a stop of the tab key.
    tips = escape(json.dumps(sorted(placed), separators=(",", ":")))
    does = f' tabindex="0" data-tips="{tips}"' if placed else ""
    label = escape(panel.title.replace("\n", ", ") or panel.x.label)
    parts = "".join([*drawn, *marks])
    return Markup(f'<svg viewBox="0 0 {_WIDTH} {frame.height}" role="img"{does} aria-label="{label}">{parts}</svg>')


def key(mark: Mark) -> Markup:
    """A mark's sign in a legend."""
    match mark:
        case Points():
            sign = _marker(mark, 15.0, 6.0, f'style="--c:{mark.style.color}"')
            line = f'<line class="line" style="--c:{mark.style.color}" x2="30" y1="6" y2="6"/>' if mark.joined else ""
            return Markup(f'<svg class="key" viewBox="0 0 30 12" aria-hidden="true">{line}{sign}</svg>')
        case Line():
            line = f'<line class="line" style="--c:{mark.style.color}"{_stroke(mark)} x2="30" y1="2" y2="2"/>'
            return Markup(f'<svg class="key" viewBox="0 0 30 4" aria-hidden="true">{line}</svg>')
        case Bars():
            return Markup(f'<span class="bar" style="--c:{mark.color}"></span>')
        case _:
            return Markup('<span class="outline"></span>')
