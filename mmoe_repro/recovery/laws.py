"""Data laws that give the paper's Figure 2: its nine points, and the spread of its trials.

The label Pearson correlation at task correlation p is a closed form in c, α and β. So the nine points of Figure 2 are
nine equations for the 2m + 1 unknowns of a law with m sines, solved by least squares from many starts. Its error bars
say more: how much the correlation varies between trials depends on the labels' fourth moments, which laws with the
same nine points need not share.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from scipy.optimize import least_squares
from scipy.stats import chi2
from torch import Tensor

from mmoe_repro import paper
from mmoe_repro.data.synthetic import SyntheticLaw, covariance
from mmoe_repro.findings.label_correlation import POINTS, TRIALS
from mmoe_repro.findings.statistics import spreads_p

#: Half the width of the uniform error of reading a point off the drawing.
READING_ERROR = 0.0005
#: A law is ruled out by a test that would rule out the true one in one of a hundred readings.
LEVEL = 0.01
#: Bounds of c and of the frequencies in units of z's standard deviation, α·c.
_C, _FREQUENCY = (0.02, 2.0), (0.0, 15.0)
#: By how much a law is moved: standard deviations of its frequencies, in the same units, and of its phases.
_MOVES = 0.3, 0.2
#: Laws whose functions are correlated more than this are one.
_ALIKE = 0.98


@dataclass(frozen=True)
class Fit:
    """A law fitted to Figure 2.

    Attributes:
        c, alpha, beta, noise_variance: as in `mmoe_repro.data.SyntheticLaw`.
        misfit: sum over the nine points of the squared deviation, in units of its error's variance.
        worst: largest deviation of a point.
        raw_variance: of a label, noise included.
    """

    c: float
    alpha: tuple[float, ...]
    beta: tuple[float, ...]
    noise_variance: float
    misfit: float
    worst: float
    raw_variance: float

    @cached_property
    def misfit_p(self) -> float:
        """Share of readings in which the true law misfits the nine points more than this one.

        A fit is nearer to its data than the true law, so it is ruled out less often than the level says.
        """
        return float(chi2.sf(self.misfit, 9))

    @cached_property
    def spread_p(self) -> float:
        """Two-sided p-value of the trials' spreads in Figure 2, if this were the law.

        At p = 1 the spread is smaller than what can be read, so that point says nothing.
        """
        table = paper.table("figure2")
        read = table[table["weight_cosine"] < 1]
        expected = [self.at(p).label_pearson_spread(POINTS) for p in read["weight_cosine"]]
        return spreads_p(read["label_pearson_2sd"].to_numpy() / 2, np.array(expected), TRIALS)

    def at(self, correlation: float) -> SyntheticLaw:
        """The law at a task correlation, with raw labels."""
        return SyntheticLaw(
            dimension=2,  # no label of two tasks depends on more
            c=self.c,
            alpha=self.alpha,
            beta=self.beta,
            noise_variance=self.noise_variance,
            label_variance=None,
            correlation=correlation,
            examples=None,
            tasks=2,
        )

    @cached_property
    def odd_share(self) -> float:
        """The share of its noiseless labels' variance that is an odd function of wᵀx."""
        z = np.linspace(-6, 6, 4001)
        density = np.exp(-(z**2) / 2)
        y = self.at(1.0).noiseless(torch.tensor(self.c * z)).numpy()
        y = y - np.average(y, weights=density)
        return float(((y - y[::-1]) / 2) ** 2 @ density / (y**2 @ density))

    @property
    def plausible(self) -> bool:
        """Figure 2 does not rule it out, neither by its points nor by its bars."""
        return self.misfit_p > LEVEL and self.spread_p > LEVEL


def point_errors() -> np.ndarray:
    """Standard error of each point of Figure 2: of the mean of its trials, and of reading it."""
    sampling = paper.table("figure2")["label_pearson_2sd"].to_numpy() / 2 / math.sqrt(TRIALS)
    return np.hypot(sampling, READING_ERROR / math.sqrt(3))


def pearson(unknowns: Tensor, correlations: Tensor, noise_variance: float) -> Tensor:
    """Label Pearson correlations of a law at task correlations `(points,)`.

    `unknowns` are c, the frequencies α·c and the phases, `(2m + 1,)`.
    """
    c, frequencies, beta = unknowns[0], *unknowns[1:].chunk(2)
    of_points = covariance(c, frequencies / c, beta, torch.cat([correlations, correlations.new_ones(1)]))
    return of_points[:-1] / (of_points[-1] + noise_variance)


def fit(sines: int, noise_variance: float, start: int) -> Fit:
    """Fit a law with a number of sines to Figure 2, from one random start.

    Args:
        sines: m, at least 1.
        noise_variance: of ε.
        start: seed of the start.
    """
    generator = np.random.default_rng([start, sines])
    begin = np.concatenate(
        [
            np.exp(generator.uniform(math.log(_C[0]), math.log(_C[1]), 1)),
            np.exp(generator.uniform(math.log(0.1), math.log(_FREQUENCY[1]), sines)),
            generator.uniform(0, 2 * math.pi, sines),
        ]
    )
    return _solve(begin, noise_variance)


def move(law: Fit, number: int) -> Fit:
    """Fit a law near another to Figure 2: phases moved at random and then held, frequencies moved and fitted.

    Args:
        law: where to start from.
        number: seed of the move; every second one also turns sines about, sin to −sin, each with a chance of a half.
    """
    sines = len(law.alpha)
    generator = np.random.default_rng([number, sines])
    frequencies = np.array(law.alpha) * law.c + generator.normal(0, _MOVES[0], sines)
    beta = np.array(law.beta) + generator.normal(0, _MOVES[1], sines)
    beta += math.pi * (number % 2) * generator.integers(0, 2, sines)
    return _solve(np.concatenate([[law.c], frequencies.clip(*_FREQUENCY)]), law.noise_variance, beta)


def _solve(begin: np.ndarray, noise_variance: float, beta: np.ndarray | None = None) -> Fit:
    """Fit a law to Figure 2 by least squares from a start.

    Frequencies are not negative, since sin(−αz + β) = sin(αz + π − β).

    Args:
        begin: c, the frequencies α·c, and unless they are held the phases: `(2m + 1,)` or `(m + 1,)`.
        noise_variance: of ε.
        beta: phases that are held `(m,)`.
    """
    sines = len(begin) - 1 if beta is not None else len(begin) // 2
    table = paper.table("figure2")
    correlations = torch.tensor(table["weight_cosine"].to_numpy())
    measured, errors = torch.tensor(table["label_pearson_mean"].to_numpy()), torch.tensor(point_errors())
    held = torch.tensor([] if beta is None else beta, dtype=torch.float64)

    def residuals(unknowns: Tensor) -> Tensor:
        return (pearson(torch.cat([unknowns, held]), correlations, noise_variance) - measured) / errors

    derivative = torch.func.jacfwd(residuals)
    low = np.array([_C[0]] + [_FREQUENCY[0]] * sines + [-2 * math.pi] * sines)[: len(begin)]
    high = np.array([_C[1]] + [_FREQUENCY[1]] * sines + [4 * math.pi] * sines)[: len(begin)]
    found = least_squares(
        lambda values: residuals(torch.tensor(values)).numpy(),
        begin,
        jac=lambda values: derivative(torch.tensor(values)).numpy(),
        bounds=(low, high),
        x_scale="jac",
        max_nfev=200,
    )
    unknowns = torch.cat([torch.tensor(found.x), held])
    one = torch.ones(1, dtype=torch.float64)
    c, frequencies, phases = float(unknowns[0]), *np.split(unknowns[1:].numpy(), 2)
    variance = float(covariance(unknowns[0], unknowns[1 : sines + 1] / c, unknowns[sines + 1 :], one)) + noise_variance
    deviations = found.fun * errors.numpy()
    order = np.argsort(frequencies)
    return Fit(
        c=c,
        alpha=tuple(float(value) for value in (frequencies / c)[order]),
        beta=tuple(float(value % (2 * math.pi)) for value in phases[order]),
        noise_variance=noise_variance,
        misfit=float((found.fun**2).sum()),
        worst=float(np.abs(deviations).max()),
        raw_variance=variance,
    )


def distinct(fits: Sequence[Fit], count: int) -> list[Fit]:
    """Laws that differ most from one another as functions of z, the best fit first.

    A network is indifferent to the signs of features and labels, so functions are compared up to both.

    Args:
        fits: to choose from.
        count: how many at most.
    """
    z = np.linspace(-3, 3, 601)
    density = np.exp(-(z**2) / 2)

    def curve(one: Fit, sign: float) -> np.ndarray:
        y = one.at(1.0).noiseless(torch.tensor(sign * one.c * z)).numpy()
        y = (y - np.average(y, weights=density)) * np.sqrt(density)
        return np.asarray(y / np.linalg.norm(y))

    def likeness(one: Fit, other: Fit) -> float:
        return max(abs(float(curve(one, sign) @ curve(other, 1.0))) for sign in (1.0, -1.0))

    left = sorted(fits, key=lambda one: one.misfit)
    chosen = left[:1]
    while left and len(chosen) < count:
        farthest = min(left, key=lambda one: max(likeness(one, other) for other in chosen))
        if max(likeness(farthest, other) for other in chosen) > _ALIKE:
            break
        chosen.append(farthest)
    return chosen


#: Numbers of sines and readings of ε's 0.01, as a variance and as a standard deviation, that are tried.
TRIED = tuple((sines, noise_variance) for sines in range(1, 9) for noise_variance in (0.01, 0.0001))
#: Laws that are kept of each.
KEPT = 3
#: Of the laws kept, those that are odd functions to this share are moved, this many times each.
ODD, MOVED = 0.85, 6


def moved(law: Fit) -> list[Fit]:
    """The plausible laws among the moves of a law."""
    return [one for one in (move(law, number) for number in range(MOVED)) if one.plausible]


def laws_table(fits: Sequence[Fit]) -> pd.DataFrame:
    """All fits, a row each, best first within each number of sines and reading of ε, then moves of the odd ones kept.

    `law` numbers those that the search draws from: for each, up to three plausible ones that differ most, then the
    moves; `near` is the number of the law that one was moved from.
    """
    numbers: dict[Fit, int] = {}
    for sines, noise_variance in TRIED:
        alike = [one for one in fits if (len(one.alpha), one.noise_variance) == (sines, noise_variance)]
        for one in distinct([one for one in alike if one.plausible], KEPT):
            numbers[one] = len(numbers)
    found = pd.DataFrame([_row(one, numbers.get(one), None) for one in fits])
    found = found.sort_values(["sines", "noise_variance", "misfit"], ascending=[True, False, True])
    near = [(number, one) for law, number in numbers.items() if law.odd_share > ODD for one in moved(law)]
    moves = pd.DataFrame([_row(one, len(numbers) + i, number) for i, (number, one) in enumerate(near)])
    return pd.concat([found, moves]).astype({"law": "Int64", "near": "Int64"})


def _row(one: Fit, law: int | None, near: int | None) -> dict[str, object]:
    return {
        "law": law,
        "near": near,
        "sines": len(one.alpha),
        **{key: getattr(one, key) for key in ("noise_variance", "misfit", "misfit_p", "worst", "spread_p")},
        "plausible": one.plausible,
        **{key: getattr(one, key) for key in ("raw_variance", "odd_share", "c")},
        **{key: json.dumps(getattr(one, key)) for key in ("alpha", "beta")},
    }


def kept(table: pd.DataFrame) -> list[Fit]:
    """The laws of `laws_table` that the search draws from, by their number."""
    rows = table[table["law"].notna()].sort_values("law").to_dict("records")
    return [
        Fit(
            c=float(row["c"]),
            alpha=tuple(json.loads(row["alpha"])),
            beta=tuple(json.loads(row["beta"])),
            noise_variance=float(row["noise_variance"]),
            misfit=float(row["misfit"]),
            worst=float(row["worst"]),
            raw_variance=float(row["raw_variance"]),
        )
        for row in rows
    ]
