"""The paper's claims as data, and what the runs of a sweep say of each.

Two questions are asked of a claim. Does its direction hold here? It is reproduced if all of its parts hold, each beyond
its bound, and contradicted if any part surely lies on the other side. And is the size of the effect the paper's? It is
like the paper's if it lies in the prediction interval that the paper's runs and ours allow.

The bounds and their reasons are in `conf/claims/paper.yaml`; what the paper's own runs come to by them, how often a
replica of the paper would be found to reproduce it, and what was asked before are in `docs/claims.md`.

The level is divided by the number of the paper's claims, whichever of them were tested (Bonferroni), so that what is
found of one claim does not depend on what else was swept. All parts of a claim have to hold, so none of them is
corrected for the others (Berger 1982); of several that may fail one is enough, so there the level is divided by their
number, too.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from mmoe_repro.findings import paper_runs
from mmoe_repro.findings.paper_runs import SMALL
from mmoe_repro.findings.paper_runs import Key as Key
from mmoe_repro.findings.statistics import (
    Contrast,
    Evidence,
    Means,
    Quantiles,
    Shares,
    beats,
    expected_best,
    log_ratio_of_sds,
    prediction,
)
from mmoe_repro.names import NAMES

MODELS = ("shared_bottom", "omoe", "mmoe")
CORRELATIONS = (0.5, 0.9, 1.0)
#: Claims of every correlation are judged without it where it was not swept; the paper's numbers at it are held out.
OPTIONAL = 0.9
#: Power that `runs_needed` is for.
POWER = 0.8
#: Share of a cell's runs that are its lowest, above which others end badly.
_LOWEST = 0.1
#: Log of the factor beyond which a ratio's limits are not shown; with few runs an interval may have no end.
_FARTHEST = float(np.log(1_000))
#: Runs that an expected best is of, beside the lowest losses.
_BEST_OF = 50


@dataclass(frozen=True)
class Part:
    """One comparison of a claim.

    Attributes:
        label: what is compared, for readers.
        cells: whose losses are compared, in this order.
        measure: what losses `(cells, runs)` say; raises ValueError where they say nothing.
        bound: what the value is compared with, on its own scale.
        above: whether the part holds above the bound, or below.
        column: of `runs.parquet`, or `bad`: whether the run ends badly.
        is_ratio: whether the value is a logarithm, shown as its exponential.
        interval: the kind of its interval, as in `interval_coverage.csv`.
        needed: whether the claim takes that it holds; else it can only contradict.
        further: what else readers may want to know of the first two cells' losses, by name; no verdict depends on it.
    """

    label: str
    cells: tuple[Key, ...]
    measure: Callable[[np.ndarray], Evidence]
    bound: float
    above: bool
    column: str = "final_loss"
    is_ratio: bool = True
    interval: str = ""
    needed: bool = True
    further: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = field(default_factory=dict)

    @property
    def is_loss(self) -> bool:
        """Whether the value is a difference of losses, in their unit."""
        return not self.is_ratio and self.column != "bad"

    def shown(self, value: float) -> float:
        """The value as readers want it."""
        if not self.is_ratio:
            return value
        with np.errstate(over="ignore"):
            return float(np.exp(value))


def named(key: Key) -> str:
    """A cell as readers call it."""
    model = f"{NAMES['shared_bottom']} (bottom 16)" if key[0] == SMALL else NAMES[key[0]]
    return f"{model} at {key[1]:g}"


def ends_badly(losses: Mapping[Key, pd.Series], times: float) -> dict[Key, pd.Series]:
    """Say for each run whether it ends badly: far above the lowest losses of its own model.

    That is, above the 10 % quantile of its cell by more than a multiple of the lowest median of the claims' models at
    that correlation. What all runs of a model have in common is no spread, so their lowest losses are the start; what
    is far is the same for all models.

    Args:
        losses: of the runs of each cell.
        times: the multiple.
    """
    best: dict[float, float] = {}
    for (model, correlation), of_cell in losses.items():
        if model in MODELS:
            best[correlation] = min(best.get(correlation, np.inf), float(of_cell.median()))
    return {
        key: of_cell > of_cell.quantile(_LOWEST) + times * best[key[1]]
        for key, of_cell in losses.items()
        if key[1] in best
    }


_HIGHER = {"share of pairs in which it is higher": lambda one, other: beats(other, one).value}


def _ratio(one: Key, other: Key, bound: float, above: bool = True, needed: bool = True) -> Part:
    return Part(
        f"mean loss, {named(one)} divided by {named(other)}",
        (one, other),
        partial(Means, weights=np.array([1, -1]), logs=True),
        float(np.log(bound)),
        above,
        interval="ratio of means",
        needed=needed,
        further=_HIGHER,
    )


def _share(one: Key, other: Key, bound: float, above: bool = True) -> Part:
    return Part(
        f"share of runs that end badly, {named(one)} less {named(other)}",
        (one, other),
        lambda bad: Shares(bad[0], bad[1]),
        bound,
        above,
        column="bad",
        is_ratio=False,
        interval="difference of shares",
        further={"ratio of standard deviations": _ratio_of_sds},
    )


def _ratio_of_sds(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.exp(log_ratio_of_sds(one, other)))


def _lowest(share: float, one: Key, other: Key, bound: float, above: bool) -> Part:
    return Part(
        f"{100 * share:g} % quantile of the loss, {named(one)} less {named(other)}",
        (one, other),
        lambda losses: Quantiles(losses[0], losses[1], share),
        bound,
        above,
        column="test_loss",
        is_ratio=False,
        interval="difference of quantiles",
        further={f"difference of the expected best of {_BEST_OF}": _difference_of_bests},
    )


def _difference_of_bests(one: np.ndarray, other: np.ndarray) -> float:
    return float(expected_best(one, _BEST_OF) - expected_best(other, _BEST_OF))


def _within(part: Callable[..., Part], one: Key, other: Key, low: float, high: float) -> Iterator[Part]:
    """Between two bounds: two one-sided tests (Schuirmann 1987)."""
    yield part(one, other, low, above=True)
    yield part(one, other, high, above=False)


def _f3(settings: Mapping[str, Any], paper_loss: float) -> Iterator[Part]:
    yield _ratio((SMALL, CORRELATIONS[0]), (SMALL, CORRELATIONS[-1]), settings["ratio"])
    for lower, higher in pairwise(CORRELATIONS):
        yield _ratio((SMALL, lower), (SMALL, higher), settings["ratio"], needed=False)


def _c1(settings: Mapping[str, Any], paper_loss: float) -> Iterator[Part]:
    for model in MODELS:
        yield _ratio((model, CORRELATIONS[0]), (model, CORRELATIONS[-1]), settings["ratio"])


def _c2a(settings: Mapping[str, Any], paper_loss: float) -> Iterator[Part]:
    weights = np.array([1, -1, -1, 1])
    yield Part(
        "OMoE's mean loss at 0.5 divided by that at 1, divided by the same of MMoE",
        (("omoe", 0.5), ("omoe", 1.0), ("mmoe", 0.5), ("mmoe", 1.0)),
        partial(Means, weights=weights, logs=True),
        float(np.log(settings["ratio"])),
        above=True,
        interval="ratio of ratios",
    )
    yield Part(
        "Shared-Bottom's mean loss at 0.5 less that at 1, less the same of MMoE",
        (("shared_bottom", 0.5), ("shared_bottom", 1.0), ("mmoe", 0.5), ("mmoe", 1.0)),
        partial(Means, weights=weights, logs=False),
        0.0,
        above=True,
        is_ratio=False,
        interval="difference of gaps",
        needed=False,
    )


def _c2b(settings: Mapping[str, Any], paper_loss: float) -> Iterator[Part]:
    yield from _within(_ratio, ("omoe", 1.0), ("mmoe", 1.0), 1 / settings["factor"], settings["factor"])
    yield _ratio(("omoe", 0.5), ("mmoe", 0.5), settings["ratio"])


def _c3(settings: Mapping[str, Any], paper_loss: float) -> Iterator[Part]:
    for correlation in CORRELATIONS:
        for model in ("omoe", "mmoe"):
            yield _ratio(("shared_bottom", correlation), (model, correlation), settings["ratio"])


def _t1(settings: Mapping[str, Any], paper_loss: float) -> Iterator[Part]:
    for correlation in CORRELATIONS:
        for model in ("omoe", "mmoe"):
            yield _share(("shared_bottom", correlation), (model, correlation), settings["excess"])


def _t2(settings: Mapping[str, Any], paper_loss: float) -> Iterator[Part]:
    yield from _within(_share, ("omoe", 1.0), ("mmoe", 1.0), -settings["margin"], settings["margin"])
    yield _share(("omoe", 0.5), ("mmoe", 0.5), settings["excess"])


def _t3(settings: Mapping[str, Any], paper_loss: float) -> Iterator[Part]:
    margin = settings["margin"] / paper_loss
    for correlation in CORRELATIONS:
        for one, other in combinations(MODELS, 2):
            lowest = partial(_lowest, settings["quantile"])
            yield from _within(lowest, (one, correlation), (other, correlation), -margin, margin)


#: The parts of each claim that runs decide, of its settings and `paper_loss`.
PARTS: dict[str, Callable[[Mapping[str, Any], float], Iterator[Part]]] = {
    "F3": _f3,
    "C1": _c1,
    "C2a": _c2a,
    "C2b": _c2b,
    "C3": _c3,
    "T1": _t1,
    "T2": _t2,
    "T3": _t3,
}


def parts_of(settings: Mapping[str, Any], paper_loss: float = 1.0) -> dict[str, list[Part]]:
    """The parts of the claims of the settings that runs decide; arguments as of `judge`."""
    return {name: list(parts(settings[name], paper_loss)) for name, parts in PARTS.items() if name in settings}


@dataclass(frozen=True)
class Comparison:
    """A part of a claim with what the runs of its cells say of it.

    Attributes:
        part: of the claim.
        measured: the value, its interval at the level at which the part is decided, p-values and error.
        runs: of each cell.
        further: what the part wants beside that.
        evidence: of these runs; None where they say nothing.
        paper: the paper's own value; NaN where it has none.
        paper_low, paper_high: between which ours lies if both measure the same, at the level of the interval.
    """

    part: Part
    measured: Contrast
    runs: int
    further: dict[str, float]
    evidence: Evidence | None = None
    paper: float = np.nan
    paper_low: float = np.nan
    paper_high: float = np.nan

    @property
    def p_holds(self) -> float:
        """Small where the part surely holds."""
        return self.measured.p_above if self.part.above else self.measured.p_below

    @property
    def p_fails(self) -> float:
        """Small where the part surely does not hold."""
        return self.measured.p_below if self.part.above else self.measured.p_above

    @property
    def size(self) -> str:
        """Whether the value is `like the paper`, `larger` or `smaller`; empty where the paper has none."""
        if np.isnan(self.paper_low) or np.isnan(self.measured.value):
            return ""
        if self.measured.value > self.paper_high:
            return "larger"
        return "smaller" if self.measured.value < self.paper_low else "like the paper"

    def runs_needed(self, level: float) -> float:
        """Runs that would tell the value from the bound, by a normal approximation; NaN if unknown.

        With fewer than three nothing is measured, so three.
        """
        if self.runs < 3:
            return 3
        distance = abs(self.measured.value - self.part.bound)
        if not distance > 0:
            return np.nan
        deviations = stats.norm.isf(level) + stats.norm.ppf(POWER)
        needed = float(np.ceil(self.runs * (deviations * self.measured.error / distance) ** 2))
        return needed if np.isfinite(needed) and needed > self.runs else np.nan  # else the approximation is too sure


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim.

    Attributes:
        id: of the claim.
        says: the claim in a sentence.
        verdict: whether its direction holds here: `reproduced`, `contradicted`, `inconclusive` or `untested`.
        size: whether the deciding effect is `like the paper`, `larger` or `smaller`; empty where the paper has none.
        part: the comparison that decides: of a contradicted claim its most surely contradicted part, else the least
            sure of those that have to hold.
        effect, low, high: of that comparison, with the interval that decides: the part holds where it lies beyond the
            bound, and is contradicted where it lies on the other side.
        confidence: of the interval.
        bound, above: the part holds where the effect is above the bound, or below.
        p: of the verdict, times the number of claims, and for `contradicted` of parts; of an inconclusive claim that
            of being reproduced.
        paper, paper_low, paper_high: the paper's own effect, and between what ours lies if both are the same.
        runs_needed: of each cell, to settle an inconclusive claim with a power of 0.8 if the effect is as it is found;
            where there are too few to find one, to measure it at all.
        missing: cells that the claim lacks. Without those at 0.5 or 1 it is untested.
        comparisons: all of its parts.
    """

    id: str
    says: str
    verdict: str
    size: str = ""
    part: str = ""
    effect: float = np.nan
    low: float = np.nan
    high: float = np.nan
    confidence: float = np.nan
    bound: float = np.nan
    above: bool = True
    p: float = np.nan
    paper: float = np.nan
    paper_low: float = np.nan
    paper_high: float = np.nan
    runs_needed: float = np.nan
    missing: tuple[Key, ...] = ()
    comparisons: tuple[Comparison, ...] = ()


def judge(
    settings: Mapping[str, Any],
    losses: Mapping[str, Mapping[Key, pd.Series]],
    label_pearson: Mapping[float, float],
    *,
    paper_loss: float,
) -> list[Verdict]:
    """Judge every claim.

    Args:
        settings: `conf/claims/paper.yaml`.
        losses: by column of `runs.parquet` (`final_loss`, `test_loss`), then by cell, task 1's losses of the runs, by
            seed. Runs of Figure 3's network are those of the model `SMALL`.
        label_pearson: Pearson correlation of two tasks' labels, by task correlation; NaN where a law does not tell it.
        paper_loss: how many of these losses a loss of the paper is, such as 0.5 if it halves them.

    Returns:
        a verdict per claim, in the order of the settings.
    """
    columns = {**losses, "bad": ends_badly(losses["test_loss"], settings["bad"])}
    verdicts = []
    for name in settings:
        if name == "F2":
            verdicts.append(_judge_f2(settings[name]["says"], label_pearson))
        elif name in PARTS:
            verdicts.append(_judge(name, settings, columns, paper_loss))
    return verdicts


def _judge(
    name: str, settings: Mapping[str, Any], losses: Mapping[str, Mapping[Key, pd.Series]], paper_loss: float
) -> Verdict:
    says, level = settings[name]["says"], settings["level"] / len(PARTS)
    numbers = tuple((key, value) for key, value in settings[name].items() if not isinstance(value, str))
    of_paper = _of_paper(name, numbers, settings["bad"], paper_loss)
    cells = dict.fromkeys(cell for part, _ in of_paper for cell in part.cells)
    missing = tuple(sorted((cell for cell in cells if cell not in losses["final_loss"]), key=_order))
    if any(correlation != OPTIONAL for _, correlation in missing):
        return Verdict(name, says, "untested", missing=missing)
    found = [
        _measured(part, paper, losses, level)
        for part, paper in of_paper
        if not any(cell in missing for cell in part.cells)
    ]
    # All parts have to hold; of all that may fail, swept or not, one is enough.
    at = level / len(of_paper)
    failing = [one for one in found if one.p_fails < at and _without_one(one, losses, at)]
    if failing:
        verdict, decides = "contradicted", min(failing, key=lambda one: one.p_fails)
        p = decides.p_fails * len(of_paper)
    else:
        at = level
        decides = max((one for one in found if one.part.needed), key=lambda one: np.nan_to_num(one.p_holds, nan=2.0))
        verdict, p = "reproduced" if decides.p_holds < at else "inconclusive", decides.p_holds
    part = decides.part
    low, high = (np.nan, np.nan) if decides.evidence is None else _interval(part, decides.evidence, at)
    effect, low, high, bound, paper, paper_low, paper_high = map(
        part.shown,
        (decides.measured.value, low, high, part.bound, decides.paper, decides.paper_low, decides.paper_high),
    )
    return Verdict(
        name,
        says,
        verdict,
        size=decides.size,
        part=part.label,
        effect=effect,
        low=low,
        high=high,
        confidence=1 - 2 * at,
        bound=bound,
        above=part.above,
        p=float(min(1.0, p * len(PARTS))),
        paper=paper,
        paper_low=paper_low,
        paper_high=paper_high,
        runs_needed=decides.runs_needed(level) if verdict == "inconclusive" else np.nan,
        missing=missing,
        comparisons=tuple(found),
    )


def margins(
    settings: Mapping[str, Any], losses: Mapping[str, Mapping[Key, pd.Series]], *, paper_loss: float
) -> dict[str, float]:
    """By how much the direction of each claim holds in these runs, whatever their number.

    Of a claim's comparisons, those that are only watched included, the one that holds least counts: the distance of its
    value to its bound, in its own scale (the log of a ratio, a difference of shares or of the paper's losses), negative
    if it lies on the wrong side.

    Args:
        settings: as of `judge`.
        losses: as of `judge`; the index may be any that the cells share, such as seed and task.
        paper_loss: as of `judge`.

    Returns:
        by claim of the settings that runs decide; NaN where cells are missing or say nothing.
    """
    columns = {**losses, "bad": ends_badly(losses["test_loss"], settings["bad"])}
    found = {}
    for name, parts in parts_of(settings, paper_loss).items():
        distances = []
        for part in parts:
            if not any(correlation == OPTIONAL for _, correlation in part.cells):
                evidence = _evidence(part, columns[part.column])
                value = np.nan if evidence is None else evidence.value
                scale = paper_loss if part.is_loss else 1.0
                distances.append(scale * (value - part.bound if part.above else part.bound - value))
        found[name] = float(np.round(np.min(distances), 12))  # else a difference at its bound is beside it by rounding
    return found


def without_bad_runs(settings: Mapping[str, Any], losses: Mapping[Key, pd.Series]) -> dict[str, bool]:
    """Of each claim of shares of runs that end badly, whether none of the runs that it compares does.

    Args:
        settings: as of `judge`.
        losses: by cell, the runs' `test_loss`.
    """
    bad = ends_badly(losses, settings["bad"])
    found = {}
    for name, parts in parts_of(settings).items():
        if all(part.column == "bad" for part in parts):
            compared = {key for part in parts for key in part.cells if key in bad}
            found[name] = not any(bad[key].any() for key in compared)
    return found


def _order(key: Key) -> tuple[int, float]:
    return (*MODELS, SMALL).index(key[0]), key[1]


@cache
def _paper_losses() -> Mapping[Key, pd.Series]:
    return paper_runs.losses()


@cache
def _of_paper(
    name: str, numbers: tuple[tuple[str, Any], ...], bad: float, paper_loss: float
) -> tuple[tuple[Part, Evidence | None], ...]:
    """The parts of a claim, each with what the paper's own runs say of it; None where it has none."""
    cells = {key: losses / paper_loss for key, losses in _paper_losses().items()}
    columns: dict[str, dict[Key, pd.Series]] = {
        "final_loss": cells,
        "test_loss": cells,
        "bad": ends_badly(cells, bad),
    }
    return tuple((part, _evidence(part, columns[part.column])) for part in PARTS[name](dict(numbers), paper_loss))


def _samples(part: Part, losses: Mapping[Key, pd.Series]) -> np.ndarray:
    """Losses `(cells, runs)` of the runs that all of the part's cells have."""
    together = pd.concat([losses[cell] for cell in part.cells], axis=1, join="inner").dropna()
    return together.to_numpy(float).T


def _evidence(part: Part, losses: Mapping[Key, pd.Series]) -> Evidence | None:
    if not all(cell in losses for cell in part.cells):
        return None
    try:
        return part.measure(_samples(part, losses))
    except ValueError:
        return None


def _interval(part: Part, evidence: Evidence, level: float) -> tuple[float, float]:
    """Lower and upper limit; both NaN where the runs are too few for either."""
    return _ended(part, evidence.value, evidence.lower(level), evidence.upper(level))


def _ended(part: Part, value: float, low: float, high: float) -> tuple[float, float]:
    """Limits that can be shown: those of a ratio end a factor of a thousand away, others that have no end are NaN."""
    if part.is_ratio and (np.isfinite(low) or np.isfinite(high)):
        low, high = max(low, value - _FARTHEST), min(high, value + _FARTHEST)
    return (low, high) if np.isfinite(low) and np.isfinite(high) else (np.nan, np.nan)


def _measured(
    part: Part, paper: Evidence | None, losses: Mapping[str, Mapping[Key, pd.Series]], level: float
) -> Comparison:
    evidence = _evidence(part, losses[part.column])
    of_test = _samples(part, losses["test_loss" if part.column == "bad" else part.column])
    runs = of_test.shape[1]
    if evidence is None or runs < 3:
        value = np.nan if evidence is None else evidence.value
        return Comparison(part, Contrast(value, np.nan, np.nan, np.nan, np.nan, np.nan), runs, {})
    low, high = _interval(part, evidence, level)
    p_above, p_below = evidence.p_above(part.bound), evidence.p_below(part.bound)
    return Comparison(
        part,
        Contrast(evidence.value, low, high, p_above, p_below, evidence.error),
        runs,
        {name: float(measure(of_test[0], of_test[1])) for name, measure in part.further.items()},
        evidence,
        *_predicted(part, paper, evidence, level),
    )


def _predicted(part: Part, paper: Evidence | None, ours: Evidence, level: float) -> tuple[float, float, float]:
    """The paper's value, and between what ours lies if both are the same; NaN where the paper has none."""
    if paper is None:
        return np.nan, np.nan, np.nan
    return paper.value, *_ended(part, paper.value, *prediction(paper, ours, level))


def _without_one(one: Comparison, losses: Mapping[str, Mapping[Key, pd.Series]], level: float) -> bool:
    """Whether a part still surely fails without the run that speaks most against it."""
    assert one.evidence is not None
    pull = one.evidence.pull if one.part.above else -one.evidence.pull
    samples = np.delete(_samples(one.part, losses[one.part.column]), np.argmin(pull), axis=1)
    try:
        left = one.part.measure(samples)
    except ValueError:
        return False
    return (left.p_below if one.part.above else left.p_above)(one.part.bound) < level


def _judge_f2(says: str, label_pearson: Mapping[float, float]) -> Verdict:
    """The label correlation needs no runs: it is a closed form of the data law."""
    at = [correlation for correlation in CORRELATIONS if correlation != OPTIONAL or correlation in label_pearson]
    steps = np.diff([label_pearson.get(correlation, np.nan) for correlation in at])
    if not np.isfinite(steps).all():
        return Verdict("F2", says, "untested")
    label = f"least growth between {', '.join(f'{correlation:g}' for correlation in at)}"
    effect = float(steps.min())
    verdict = "reproduced" if effect > 0 else "contradicted"
    return Verdict("F2", says, verdict, part=label, effect=effect, bound=0.0, p=0.0)
