"""The paper's claims as data, and what the runs of a sweep say of each.

A claim is reproduced if all of its parts hold, each beyond its bound, and contradicted if any part surely lies on the
other side of its bound. The bounds and their reasons are in `conf/claims/paper.yaml`. p-values are corrected over the
claims by Holm's method, once for reproduced and once for contradicted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from mmoe_repro.names import NAMES
from mmoe_repro.statistics import (
    Contrast,
    beats,
    brown_forsythe_p,
    contrast,
    holm,
    log_ratio_of_bests,
    log_ratio_of_means,
    log_ratio_of_sds,
    permutation_p,
)

MODELS = ("shared_bottom", "omoe", "mmoe")
CORRELATIONS = (0.5, 0.9, 1.0)
#: Power that `runs_needed` is for.
POWER = 0.8
#: A cell of a claim: model and task correlation.
Key = tuple[str, float]


@dataclass(frozen=True)
class Part:
    """One comparison of a claim.

    Attributes:
        label: what is compared, for readers.
        cells: whose losses the quantity takes, in this order.
        quantity: of the losses; a logarithm if `is_ratio`.
        bound: what the quantity is compared with, on its own scale.
        above: whether the part holds above the bound, or below.
        column: of `runs.parquet`.
        is_ratio: whether the quantity is shown as its exponential.
        interval: the kind of its interval, as in `coverage.csv`.
        least_runs: of each cell, without which the quantity or its error is not defined.
        beside: what else readers may want to know of the two samples, by name; the verdict does not depend on it.
    """

    label: str
    cells: tuple[Key, ...]
    quantity: Callable[..., Any]
    bound: float
    above: bool
    column: str = "final_loss"
    is_ratio: bool = True
    interval: str = ""
    least_runs: int = 3
    beside: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = field(default_factory=dict)

    def shown(self, value: float) -> float:
        """The quantity as readers want it."""
        return float(np.exp(value)) if self.is_ratio else value


def _named(key: Key) -> str:
    return f"{NAMES[key[0]]} at {key[1]:g}"


def _compared(one: Key, other: Key, quantity: Any, bound: float, above: bool, of: str, **more: Any) -> Part:
    label = f"{of}, {_named(one)} by {_named(other)}"
    return Part(label, (one, other), quantity, float(np.log(bound)), above, **more)


def _means(one: Key, other: Key, bound: float, above: bool = True) -> Part:
    beside = {"higher in so many pairs": lambda one, other: beats(other, one).value}
    more = {"interval": "ratio of means", "beside": beside}
    return _compared(one, other, log_ratio_of_means, bound, above, "mean loss", **more)


def _sds(one: Key, other: Key, bound: float, above: bool = True) -> Part:
    beside = {"p of equal spread (permutation)": permutation_p, "p of equal spread (Brown–Forsythe)": brown_forsythe_p}
    more = {"column": "test_loss", "interval": "ratio of sds", "beside": beside}
    return _compared(one, other, log_ratio_of_sds, bound, above, "sd of the loss", **more)


def _f3(settings: Mapping[str, Any]) -> Iterator[Part]:
    for lower, higher in pairwise(CORRELATIONS):
        yield _means(("shared_bottom", lower), ("shared_bottom", higher), settings["ratio"])


def _c1(settings: Mapping[str, Any]) -> Iterator[Part]:
    for model in MODELS:
        yield _means((model, CORRELATIONS[0]), (model, CORRELATIONS[-1]), settings["ratio"])


def _gap_beyond(sign: int, share: float, a: Any, b: Any, c: Any, d: Any, axis: int) -> Any:
    """Gap a − b, of this sign, beyond a share of gap c − d."""
    one, other = np.mean(a, axis=axis) - np.mean(b, axis=axis), np.mean(c, axis=axis) - np.mean(d, axis=axis)
    return sign * one - share * other


def _c2a(settings: Mapping[str, Any]) -> Iterator[Part]:
    for other in ("omoe", "shared_bottom"):
        cells = (("mmoe", 0.5), ("mmoe", 1.0), (other, 0.5), (other, 1.0))
        for sign, gap in ((1, "gap"), (-1, "gap the other way round")):
            label = f"MMoE's {gap} less {settings['ratio']:g} of {NAMES[other]}'s gap"
            quantity = partial(_gap_beyond, sign, settings["ratio"])
            yield Part(label, cells, quantity, 0.0, above=False, is_ratio=False, interval="difference of gaps")


def _like(part: Callable[..., Part], one: Key, other: Key, margin: float) -> Iterator[Part]:
    """Within a margin on either side: two one-sided tests (Schuirmann 1987)."""
    yield part(one, other, 1 / margin, above=True)
    yield part(one, other, margin, above=False)


def _c2b(settings: Mapping[str, Any]) -> Iterator[Part]:
    yield from _like(_means, ("omoe", 1.0), ("mmoe", 1.0), settings["margin"])
    yield _means(("omoe", 0.5), ("mmoe", 0.5), settings["ratio"])


def _c3(settings: Mapping[str, Any]) -> Iterator[Part]:
    for correlation in CORRELATIONS:
        for model in ("omoe", "mmoe"):
            yield _means(("shared_bottom", correlation), (model, correlation), settings["ratio"])


def _t1(settings: Mapping[str, Any]) -> Iterator[Part]:
    for correlation in CORRELATIONS:
        for model in ("omoe", "mmoe"):
            yield _sds(("shared_bottom", correlation), (model, correlation), settings["ratio"])


def _t2(settings: Mapping[str, Any]) -> Iterator[Part]:
    yield from _like(_sds, ("omoe", 1.0), ("mmoe", 1.0), settings["margin"])
    yield _sds(("omoe", 0.5), ("mmoe", 0.5), settings["ratio"])


def _bests(of: int, one: Key, other: Key, bound: float, above: bool) -> Part:
    quantity = partial(log_ratio_of_bests, of=of)
    more = {"column": "test_loss", "interval": "ratio of bests", "least_runs": of + 1}
    return _compared(one, other, quantity, bound, above, f"expected best of {of} losses", **more)


def _t3(settings: Mapping[str, Any]) -> Iterator[Part]:
    for correlation in CORRELATIONS:
        for one, other in combinations(MODELS, 2):
            bests = partial(_bests, settings["best_of"])
            yield from _like(bests, (one, correlation), (other, correlation), settings["margin"])


#: The parts of each claim that runs decide.
PARTS: dict[str, Callable[[Mapping[str, Any]], Iterator[Part]]] = {
    "F3": _f3,
    "C1": _c1,
    "C2a": _c2a,
    "C2b": _c2b,
    "C3": _c3,
    "T1": _t1,
    "T2": _t2,
    "T3": _t3,
}


@dataclass(frozen=True)
class Comparison:
    """A part of a claim with what so many runs of each cell say of it, and what its part wants beside that."""

    part: Part
    measured: Contrast
    runs: int
    beside: dict[str, float]

    @property
    def p_holds(self) -> float:
        """Small where the part surely holds."""
        return self.measured.p_above if self.part.above else self.measured.p_below

    @property
    def p_fails(self) -> float:
        """Small where the part surely does not hold."""
        return self.measured.p_below if self.part.above else self.measured.p_above

    def runs_needed(self, level: float) -> float:
        """Runs that would tell the quantity from the bound, by a normal approximation; NaN if unknown.

        With fewer than the quantity takes, so many.
        """
        if self.runs < self.part.least_runs:
            return self.part.least_runs
        distance = abs(self.measured.value - self.part.bound)
        if not distance > 0:
            return np.nan
        deviations = stats.norm.isf(level) + stats.norm.ppf(POWER)
        needed = float(np.ceil(self.runs * (deviations * self.measured.error / distance) ** 2))
        return needed if needed > self.runs else np.nan  # the approximation is too sure


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim.

    Attributes:
        id: of the claim.
        says: the claim in a sentence.
        verdict: `reproduced`, `contradicted`, `inconclusive` or `untested`.
        part: the comparison that decides: of a contradicted claim its most surely contradicted part, else the least
            sure of all.
        effect, low, high: of that comparison, with a 95 % interval.
        bound, above: the part holds where the quantity is above the bound, or below.
        p: corrected, of the verdict; of an inconclusive claim that of being reproduced.
        runs_needed: of each cell, to settle an inconclusive claim with a power of 0.8 if the effect is as it is found;
            where there are too few to find one, to measure it at all.
        missing: cells that an untested claim lacks.
        comparisons: all of its parts.
    """

    id: str
    says: str
    verdict: str
    part: str = ""
    effect: float = np.nan
    low: float = np.nan
    high: float = np.nan
    bound: float = np.nan
    above: bool = True
    p: float = np.nan
    runs_needed: float = np.nan
    missing: tuple[Key, ...] = ()
    comparisons: tuple[Comparison, ...] = ()


def judge(
    settings: Mapping[str, Any], losses: Mapping[str, Mapping[Key, pd.Series]], label_pearson: Mapping[float, float]
) -> list[Verdict]:
    """Judge every claim.

    Args:
        settings: `conf/claims/paper.yaml`.
        losses: by column of `runs.parquet`, then by cell, task 1's losses of the runs, by seed.
        label_pearson: Pearson correlation of two tasks' labels, by task correlation; NaN where a law does not tell it.

    Returns:
        a verdict per claim, in the order of the settings.
    """
    found: dict[str, list[Comparison]] = {}
    verdicts: dict[str, Verdict] = {"F2": _judge_f2(settings["F2"]["says"], label_pearson)}
    for name in filter(PARTS.__contains__, settings):
        parts = PARTS[name]
        all_parts = list(parts(settings[name]))
        cells = dict.fromkeys(cell for part in all_parts for cell in part.cells)
        missing = tuple(cell for cell in cells if cell not in losses["final_loss"])
        if missing:
            verdicts[name] = Verdict(name, settings[name]["says"], "untested", missing=missing)
        else:
            found[name] = [_measured(part, losses[part.column]) for part in all_parts]
    # All parts have to hold; of several that may fail, one is enough (Bonferroni).
    holds = holm([np.max([one.p_holds for one in of_claim]) for of_claim in found.values()])
    fails = holm([np.min([one.p_fails for one in of_claim]) * len(of_claim) for of_claim in found.values()])
    for name, p_holds, p_fails in zip(found, holds, fails, strict=True):
        verdicts[name] = _verdict(name, settings, found[name], float(p_holds), float(p_fails))
    return [verdicts[name] for name in settings if name in verdicts]


def _measured(part: Part, losses: Mapping[Key, pd.Series]) -> Comparison:
    """The comparison, on the runs that all of its cells have."""
    together = pd.concat([losses[cell] for cell in part.cells], axis=1, join="inner").dropna().to_numpy(float)
    samples = list(together.T)
    beside = {name: float(measure(*samples)) for name, measure in part.beside.items()} if len(together) > 2 else {}
    return Comparison(part, contrast(samples, part.quantity, part.bound), len(together), beside)


def _verdict(
    name: str, settings: Mapping[str, Any], found: Sequence[Comparison], p_holds: float, p_fails: float
) -> Verdict:
    level = settings["level"]
    if p_fails < level:
        verdict, p = "contradicted", p_fails
        decides = min(found, key=lambda one: one.p_fails)
    else:
        verdict, p = "reproduced" if p_holds < level else "inconclusive", p_holds
        decides = max(found, key=lambda one: np.nan_to_num(one.p_holds, nan=2.0))
    part, measured = decides.part, decides.measured
    return Verdict(
        name,
        settings[name]["says"],
        verdict,
        part.label,
        part.shown(measured.value),
        part.shown(measured.low),
        part.shown(measured.high),
        part.shown(part.bound),
        part.above,
        p,
        decides.runs_needed(level / len(PARTS)) if verdict == "inconclusive" else np.nan,
        comparisons=tuple(found),
    )


def _judge_f2(says: str, label_pearson: Mapping[float, float]) -> Verdict:
    """The label correlation needs no runs: it is a closed form of the data law."""
    values = [label_pearson.get(correlation, np.nan) for correlation in CORRELATIONS]
    steps = np.diff(values)
    if not np.isfinite(steps).all():
        return Verdict("F2", says, "untested")
    label = f"least growth between {', '.join(f'{correlation:g}' for correlation in CORRELATIONS)}"
    effect = float(steps.min())
    return Verdict("F2", says, "reproduced" if effect > 0 else "contradicted", label, effect, bound=0.0, p=0.0)
