"""What a sweep comes to: one sentence, and how many runs settle what it leaves open."""

import math
from collections.abc import Sequence

import pandas as pd

from mmoe_repro.findings.verdicts import keys_apart
from mmoe_repro.names import readable

#: Verdicts in the order of the sentence, and what each is called for one claim and for several.
_CALLED = (
    ("reproduced", "holds", "hold"),
    ("contradicted", "is contradicted", "are contradicted"),
    ("inconclusive", "is open", "are open"),
    ("untested", "is untested", "are untested"),
)
#: Runs are asked for in tens, as they are trained.
_TENS = 10
#: However few runs there are, this many can be asked for.
AT_MOST = 200


def about_the_paper(verdicts: pd.DataFrame) -> bool:
    """Whether runs decide anything that the paper claims; the labels' correlation (F2) takes none.

    Args:
        verdicts: `verdicts.csv`.
    """
    return bool((verdicts.loc[verdicts["id"] != "F2", "verdict"] != "untested").any())


def answer(verdicts: pd.DataFrame) -> str:
    """What a sweep says of the paper's claims, in a sentence; empty where its runs decide none.

    Args:
        verdicts: `verdicts.csv`.

    >>> answer(pd.DataFrame({"id": ["F2", "C1", "T1"], "verdict": ["reproduced", "reproduced", "inconclusive"]}))
    "Of the paper's 3 claims 2 hold here (F2, C1), none is contradicted, 1 is open (T1)."
    """
    if not about_the_paper(verdicts):
        return ""
    of_groups = [of_group.set_index("id")["verdict"] for _, of_group in groups(verdicts)]
    parts = []
    for verdict, one, several in _CALLED:
        counts = [int((of_group == verdict).sum()) for of_group in of_groups]
        least, most = min(counts), max(counts)
        if most == 0 and verdict in ("inconclusive", "untested"):
            continue
        number = "none" if most == 0 else str(most) if least == most else f"{least} to {most}"
        part = f"{number} {one if least == most < 2 else several}"
        if verdict == "reproduced":
            part += " here" if len(of_groups) == 1 else f" at each of {len(of_groups)} settings"
        if most and len(of_groups) == 1:
            part += f" ({', '.join(of_groups[0].index[of_groups[0] == verdict])})"
        parts.append(part)
    return f"Of the paper's {len(of_groups[0])} claims {', '.join(parts)}."


def runs_that_settle(verdicts: pd.DataFrame, runs: int) -> tuple[int, list[str]] | None:
    """Runs of each cell that settle open claims with a power of 0.8, if effects are as found, and these claims.

    Claims that would take more than ten times the present runs, or than 200 where there are few, are left out: either
    the runs are too few for an estimate, or the effect is next to nothing.

    Args:
        verdicts: rows of `verdicts.csv`.
        runs: that each cell has.

    Returns:
        None if there is no such claim.
    """
    needed = verdicts.loc[verdicts["verdict"] == "inconclusive"].set_index("id")["runs_needed"]
    within = needed[needed <= max(AT_MOST, 10 * runs)]
    return None if within.empty else (math.ceil(within.max() / _TENS) * _TENS, list(dict.fromkeys(within.index)))


def groups(verdicts: pd.DataFrame) -> Sequence[tuple[str, pd.DataFrame]]:
    """The groups of cells that are judged apart, each with its label, empty if there is one group alone."""
    keys = keys_apart(verdicts)
    if not keys:
        return [("", verdicts)]
    found = []
    for values, of_group in verdicts.groupby(keys, sort=False, dropna=False):
        named = (f"{readable(key)} {value}" for key, value in zip(keys, values, strict=True))
        found.append((", ".join(named), of_group))
    return found
