"""How far trained runs are from the paper's Figures 3 to 5, in units of the paper's own sampling error.

A distance of 1 is what another 200 runs of the paper's own setting would have on average. Two things about the paper's
losses are not stated and are decided here, since they need no training (`Readout`): whether the squared error is
halved, and whether a curve shows each run's loss at a step or its lowest so far.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.stats import wasserstein_distance

from mmoe_repro import paper

#: Runs that a curve and a histogram of the paper are made of.
PAPER_RUNS = 200
#: Steps between two points of a curve, and the step that Figure 4's curves begin with.
WINDOW, FIGURE4_FROM = 100, 500
#: What stands for a loss that is not finite.
_DIVERGED = 1e3
_RESAMPLES = 1_000


class Curve(NamedTuple):
    """A curve of the paper: `figure3` or `figure4`, the model, the task correlation."""

    figure: str
    model: str
    correlation: float


class Readout(NamedTuple):
    """What the paper's "loss" is, of a run's squared errors.

    Attributes:
        factor: 1, or ½ for half the squared error.
        batch: whether it is of one batch, that of a window's first step, or the mean over a window's batches.
        lowest: whether it is the lowest so far. No mean curve of the paper ever rises.
    """

    factor: float
    batch: bool
    lowest: bool


READOUTS = tuple(
    Readout(factor, batch, lowest)
    for factor in (1.0, 0.5)
    for batch, lowest in ((False, False), (False, True), (True, True))
)


def readouts(factor: float) -> list[Readout]:
    """The readouts with a factor."""
    return [readout for readout in READOUTS if readout.factor == factor]


#: The curves that the search fits; p = 0.9 is held out.
CURVES = tuple(
    Curve(figure, model, correlation)
    for figure, models in (("figure4", ("shared_bottom", "omoe", "mmoe")), ("figure3", ("shared_bottom",)))
    for model in models
    for correlation in (0.5, 1.0)
)


def read(losses: np.ndarray, readout: Readout) -> np.ndarray:
    """The paper's loss of runs `(runs, windows)` from their mean squared errors.

    Args:
        losses: of the windows, and of their first steps `(2, runs, windows)`.
        readout: what the paper's loss is.
    """
    chosen = losses[int(readout.batch)]
    finite = np.where(np.isfinite(chosen), chosen, _DIVERGED)
    return np.asarray(readout.factor * (np.minimum.accumulate(finite, axis=1) if readout.lowest else finite))


@cache
def published(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Steps and mean losses of a curve of the paper."""
    rows = paper.mean_curve(*curve)
    return np.asarray(rows["step"]), np.asarray(rows["mean_loss"])


@dataclass(frozen=True)
class Histogram:
    """A histogram of Figure 5: bin edges `(bins + 1,)` and the share of runs in each `(bins,)`."""

    edges: np.ndarray
    shares: np.ndarray

    @property
    def middles(self) -> np.ndarray:
        """Of the bins."""
        return np.asarray(self.edges[:-1] + self.edges[1:]) / 2

    def distance(self, losses: np.ndarray) -> float:
        """1-Wasserstein distance of final losses `(runs,)` from it, both as shares of bins of its width."""
        width = self.edges[1] - self.edges[0]
        binned = self.edges[0] + (np.floor((losses - self.edges[0]) / width) + 0.5) * width
        return float(wasserstein_distance(binned, self.middles, None, self.shares))


@cache
def histogram(model: str, correlation: float) -> Histogram:
    """The paper's final losses of a model."""
    return Histogram(*paper.histogram("figure4", model, correlation))


@cache
def units(curve: Curve) -> tuple[float, float]:
    """The expected distance of 200 runs of the paper's own setting: of their mean curve, and of their histogram.

    The spread over runs is known for the final losses only, from Figure 5; it is taken to be in proportion to the
    mean at every step, and for Figure 3, which has no histogram, to be Shared-Bottom's.
    """
    of_paper = histogram(curve.model, curve.correlation)
    generator = np.random.default_rng(0)
    counts = generator.multinomial(PAPER_RUNS, of_paper.shares / of_paper.shares.sum(), _RESAMPLES)
    means = counts @ of_paper.middles / PAPER_RUNS
    curves = np.abs(np.log10(means / (of_paper.shares @ of_paper.middles))).mean()
    histograms = np.mean([wasserstein_distance(*[of_paper.middles] * 2, row, of_paper.shares) for row in counts])
    return float(curves), float(histograms)


def curve_distance(losses: np.ndarray, curve: Curve) -> float:
    """Root mean square over steps of the difference of log10 mean losses.

    Args:
        losses: as the paper reads them `(runs, windows)`; compared as far as they go.
        curve: of the paper.
    """
    steps, means = published(curve)
    within = (steps < losses.shape[1] * WINDOW) & (steps >= (FIGURE4_FROM if curve.figure == "figure4" else 0))
    ours = losses.mean(0)[steps[within] // WINDOW]
    return float(np.sqrt(np.mean(np.log10(ours / means[within]) ** 2)))


def distances(losses: Mapping[Curve, np.ndarray], readout: Readout) -> dict[str, float]:
    """Every distance from the paper.

    Args:
        losses: mean squared errors of finished runs by window `(2, runs, windows)`, as `read` takes them, by curve.
        readout: what the paper's loss is.

    Returns:
        by name: of mean curves in log10, of final losses (`figure5`) as 1-Wasserstein distances.
    """
    found = {}
    for curve, values in losses.items():
        as_read = read(values, readout)
        found[name(curve)] = curve_distance(as_read, curve)
        if curve.figure == "figure4":
            of_paper = histogram(curve.model, curve.correlation)
            found[name(curve._replace(figure="figure5"))] = of_paper.distance(as_read[:, -1])
    return found


def name(curve: Curve) -> str:
    """A name for a column."""
    return f"{curve.figure}_{curve.model}_p{curve.correlation:g}"


def score(losses: Mapping[Curve, np.ndarray], readout: Readout) -> float:
    """The mean of all distances, each in units of the sampling error of both sides; 1 is indistinguishable.

    The units are of the paper's 200 runs against its own setting; with n runs on our side the error is
    √(1 + 200/n) times as large, so scores of few and of many runs can be compared.
    """
    found = distances(losses, readout)
    terms = []
    for curve, values in losses.items():
        of_curve, of_histogram = units(curve)
        ours = np.sqrt(1 + PAPER_RUNS / values.shape[1])
        terms.append(found[name(curve)] / of_curve / ours)
        if curve.figure == "figure4":
            terms.append(found[name(curve._replace(figure="figure5"))] / of_histogram / ours)
    return float(np.mean(terms))


def final_means(losses: Mapping[Curve, np.ndarray], readout: Readout) -> dict[str, float]:
    """The runs' mean final losses as the paper reads them, by name of the curve; losses as for `distances`."""
    return {name(curve): float(read(values, readout)[:, -1].mean()) for curve, values in losses.items()}


def best_readout(losses: Mapping[Curve, np.ndarray], readouts: Sequence[Readout]) -> Readout:
    """The readout with the lowest score."""
    return min(readouts, key=lambda readout: score(losses, readout))
