"""The atlas's pictures: what each claim hangs on, at a glance; how often it holds by value; its best two choices."""

from dataclasses import replace

import numpy as np
import pandas as pd

from mmoe_repro.atlas.findings import LEVEL, Atlas, explained, sure
from mmoe_repro.names import readable
from mmoe_repro.text import percent
from mmoe_repro.views.panels import Axis, Mark, Panel, Picture, Points, Style, Tiles
from mmoe_repro.views.style import INK, NEUTRAL

_INK, _NEUTRAL = Style(INK, "o"), Style(NEUTRAL, "o")
#: Importances from here on have the darkest shade.
_DARKEST = 0.3
#: A share of fewer settings than this is not shown.
_FEWEST = 5
#: From none to all, with room for the points at the ends.
_SHARE = Axis("share that holds", -0.03, 1.03, at=(0.0, 0.25, 0.5, 0.75, 1.0))


def pictures(atlas: Atlas) -> dict[str, Picture]:
    """All pictures that there are settings enough for, and something to see, by file name."""
    found = {"holds": _holds(atlas)}
    if not atlas.importance.empty:
        found = {"atlas": _glance(atlas), **found}
        if any(len(sure(atlas, str(claim))) for claim in atlas.claims["claim"]):
            found["values"] = _values(atlas)
        if explained(atlas) and not atlas.pairs.empty:
            found["maps"] = _maps(atlas)
    return found


def _glance(atlas: Atlas) -> Picture:
    """Choices × claims: the shade is what the size hangs on, the text what it hangs on where the direction holds."""
    choices = list(dict.fromkeys(atlas.importance["choice"]))
    claims = list(dict.fromkeys(atlas.importance["claim"]))
    table = atlas.importance.set_index(["choice", "claim"])
    held = atlas.claims.set_index("claim")
    shades = np.array([[table.loc[(choice, claim), "importance"] for claim in claims] for choice in choices], float)
    texts = [[_sign(table.loc[(choice, claim)]) for claim in claims] for choice in choices]
    names = tuple(f"{str(claim).replace(' ', chr(10))}\n{percent(held.loc[claim, 'share'])}" for claim in claims)
    panel = Panel(
        "",
        Axis("claim, and the share of settings in which its direction holds", -0.5, len(claims) - 0.5, names=names),
        Axis("", len(choices) - 0.5, -0.5, names=tuple(map(readable, choices))),
        [Tiles((shades * np.isin(claims, explained(atlas))).clip(0, _DARKEST) / _DARKEST, texts)],
    )
    return Picture(
        title=f"What each finding hangs on, of what the paper leaves open ({len(atlas.settings):,} settings)",
        note="shade: how much of the effect's size the choice decides; text: it surely decides where the direction\n"
        "holds, more often where the choice is larger (+) or smaller (−), else most often with the value named",
        words="",
        panels=[panel],
        columns=1,
        size=(7.5, 4.5),
    )


def _sign(row: pd.Series) -> str:
    if not row["p"] < LEVEL:
        return ""
    if not np.isnan(row["direction"]):
        return "+" if row["direction"] > 0 else "−"
    return str(row["best"])


def _holds(atlas: Atlas) -> Picture:
    """In how many settings each claim's direction holds."""
    claims = atlas.claims.iloc[::-1].reset_index(drop=True)
    y = Axis("", -0.6, len(claims) - 0.4, names=tuple(claims["claim"]))
    shown = {column: claims[column].to_numpy(float) for column in ("share", "low", "high")}
    at = np.arange(len(claims), dtype=float)
    points = Points(shown["share"], at, _INK, "holds", low=shown["low"], high=shown["high"], across=True)
    marks: list[Mark] = [points]
    none_bad = (claims["without_bad_runs"] / claims["settings"]).to_numpy(float)
    if (has := none_bad > 0).any():
        up_to = (shown["share"] + none_bad)[has]
        low = np.minimum(shown["high"][has], up_to)
        marks.append(
            Points(up_to, at[has], _NEUTRAL, "or no run ends badly", low=low, high=up_to, across=True, hollow=True)
        )
    panel = Panel("", replace(_SHARE, label="share of settings in which the direction holds"), y, marks)
    return Picture(
        title=f"How often each finding holds ({len(atlas.settings):,} settings of what the paper leaves open)",
        note="95 % intervals over the settings",
        words="; ".join(
            f"{row['claim']} {percent(row['share'])} ({100 * row['low']:.0f} to {100 * row['high']:.0f})"
            for _, row in atlas.claims.iterrows()
        ),
        panels=[panel],
        columns=1,
        size=(6.0, 3.0),
    )


def _values(atlas: Atlas) -> Picture:
    """Share by value, of the two choices on which it hangs most surely where each claim holds."""
    panels, words = [], []
    for claim in atlas.claims["claim"]:
        most = sure(atlas, str(claim)).head(2)
        for choice, direction in zip(most["choice"], most["direction"], strict=True):
            table = atlas.shares[(atlas.shares["claim"] == claim) & (atlas.shares["choice"] == choice)]
            names = tuple(table["value"].str.removeprefix("law "))
            at = np.arange(len(table), dtype=float)
            x = Axis(readable(choice), -0.6, len(table) - 0.4, names=names)
            shown = {column: table[column].to_numpy(float) for column in ("share", "low", "high")}
            joined = not np.isnan(direction)  # values without an order are no line
            points = Points(at, shown["share"], _INK, low=shown["low"], high=shown["high"], joined=joined)
            panels.append(Panel(str(claim), x, _SHARE, [points]))
            shares = (f"{name} {percent(share)}" for name, share in zip(names, shown["share"], strict=True))
            words.append(f"{claim} by {readable(choice)}: {', '.join(shares)}")
    return Picture(
        title="How often each finding holds, by the two choices that this hangs on most surely",
        note="95 % intervals; ranges in four parts of equally many settings; no panel: no choice surely matters",
        words="; ".join(words),
        panels=panels,
        columns=4,
        size=(3.6, 2.4),
    )


def _maps(atlas: Atlas) -> Picture:
    """Share by the values of the two choices that explain most together, of each claim that choices explain."""
    panels = []
    for claim in explained(atlas):
        table = atlas.pairs[atlas.pairs["claim"] == claim]
        one, other = str(table["choice"].iloc[0]), str(table["other"].iloc[0])
        rows, columns = list(dict.fromkeys(table["value"])), list(dict.fromkeys(table["other_value"]))
        enough = table["share"].where(table["settings"] >= _FEWEST)
        by = enough.set_axis(pd.MultiIndex.from_frame(table[["value", "other_value"]]))
        shades = np.array([[by.loc[(row, column)] for column in columns] for row in rows], float)
        texts = [["" if np.isnan(share) else f"{100 * share:.0f}" for share in row] for row in shades]
        panels.append(
            Panel(
                claim,
                Axis(readable(other), -0.5, len(columns) - 0.5, names=tuple(columns)),
                Axis(readable(one), -0.5, len(rows) - 0.5, names=tuple(rows)),
                [Tiles(np.nan_to_num(shades), texts)],
            )
        )
    return Picture(
        title="How often each finding holds, by the two choices that explain most together",
        note=f"percent of the settings, where they are {_FEWEST} or more; claims whose size choices explain",
        words="",
        panels=panels,
        columns=2,
        size=(5.0, 3.0),
    )
