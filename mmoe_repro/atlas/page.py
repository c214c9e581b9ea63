"""The atlas's page: how often each finding holds, and which choices decide it."""

from collections.abc import Mapping, Sequence

import pandas as pd

from mmoe_repro.atlas.findings import LEVEL, Atlas, explained, in_words
from mmoe_repro.names import readable
from mmoe_repro.text import percent
from mmoe_repro.views.page import render_template
from mmoe_repro.views.panels import Picture

#: Importances below this are not listed.
_LEAST = 0.05


def render(
    atlas: Atlas,
    pictures: Mapping[str, Picture],
    *,
    name: str,
    runs: int,
    prior: str,
    command: str,
    files: Sequence[str],
) -> str:
    """The page of an atlas.

    Args:
        atlas: what its settings say.
        pictures: of `figures.pictures`.
        name: of the atlas.
        runs: of each cell.
        prior: the choices and their prior, as YAML.
        command: that made it.
        files: beside the page.
    """
    count = len(atlas.settings)
    most = atlas.claims.sort_values("share", ascending=False)
    first, last = most.iloc[0], most.iloc[-1]
    return render_template(
        "atlas.html",
        name=name,
        answer=f"{first['claim']} holds most often, in {percent(first['share'])} of settings; "
        f"{last['claim']} least often, in {percent(last['share'])}.",
        about=f"{name} · {count:,} settings drawn from what the paper leaves open · {runs} runs of each cell",
        sentences=list(zip(atlas.claims["claim"], atlas.claims["says"], in_words(atlas), strict=True)),
        pictures=pictures,
        claims=claims_shown(atlas.claims),
        importance=_importance(atlas),
        prior=prior,
        command=command,
        files=files,
    )


def claims_shown(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The claims as columns and cells of text, for readers."""
    header = [
        "claim",
        "says",
        "settings",
        "holds in",
        "95 % interval",
        "no run ends badly",
        "surely",
        "surely not",
        "explained",
    ]
    rows = [
        [
            str(row["claim"]),
            str(row["says"]),
            str(row["settings"]),
            percent(row["share"]),
            f"{percent(row['low'])} to {percent(row['high'])}",
            percent(row["without_bad_runs"] / row["settings"]) if row["without_bad_runs"] else "–",
            str(row["reproduced"]),
            str(row["contradicted"]),
            percent(max(row["fit"], 0.0)),
        ]
        for _, row in table.iterrows()
    ]
    return header, rows


def _importance(atlas: Atlas) -> tuple[list[str], list[list[str]]]:
    """What surely decides where a claim holds, or much of the size of an effect that choices explain."""
    if atlas.importance.empty:
        return [], []
    much = (atlas.importance["importance"] >= _LEAST) & atlas.importance["claim"].isin(explained(atlas))
    shown = atlas.importance[much | (atlas.importance["p"] < LEVEL)]
    rows = [
        [
            str(row["claim"]),
            readable(str(row["choice"])),
            f"{row['p']:.2g}",
            str(row["best"]),
            percent(max(row["importance"], 0.0)),
        ]
        for _, row in shown.iterrows()
    ]
    return ["claim", "choice", "p of where", "holds most often at", "of the size"], rows
