"""The paper's runs, as far as its figures show them: 200 final losses per model and correlation.

Figure 5 counts the final losses of Figure 4's runs in bins of 1/30, and Figure 4 has their mean to a thousandth. Within
its bin a run may lie anywhere. Here the runs of a bin lie at `left + width · u^g`, with u spread evenly (or drawn at
random) and one exponent g for all bins, such that the mean is the published one; g is 0.86 to 1.18, so nearly uniform.

Of Figure 3's runs, of Shared-Bottom with a bottom of 16, there is the mean alone. They are given the shape of
Figure 5's Shared-Bottom, scaled to that mean: an assumption, on which the sampling error of Figure 3's means rests.

The paper's runs at correlation 0.9 of Figures 4 and 5 are held out.
"""

from functools import cache

import numpy as np
import pandas as pd

from mmoe_repro import paper

#: A cell of a claim: model and task correlation.
Key = tuple[str, float]
#: Figure 3's network, Shared-Bottom with a bottom of 16 units, as the model of a `Key`.
SMALL = "shared_bottom_16"
#: Runs of each model and correlation.
RUNS = 200
#: Whose spread at 0.5 or 1 stands for that of Figure 3's at each correlation.
_SHAPES = {0.5: 0.5, 0.9: 0.5, 1.0: 1.0}


@cache
def cells() -> tuple[Key, ...]:
    """The cells of which the paper has runs or a mean."""
    curves = paper.table("figure4")[["model", "correlation"]].drop_duplicates()
    of_figure4 = [(str(model), float(correlation)) for model, correlation in curves.itertuples(index=False)]
    return (*of_figure4, *((SMALL, correlation) for correlation in _SHAPES))


@cache
def mean(key: Key) -> float:
    """Mean final loss: the end of the cell's curve."""
    model, correlation = key
    curve = ("figure3", "shared_bottom") if model == SMALL else ("figure4", model)
    return float(paper.mean_curve(*curve, correlation)["mean_loss"].iloc[-1])


def spread(key: Key, generator: np.random.Generator | None = None) -> np.ndarray:
    """200 final losses with the paper's counts and mean, ascending `(200,)`.

    Args:
        key: of `cells()`.
        generator: draws where in its bin each run lies; None for evenly.
    """
    if key[0] == SMALL:
        losses = spread(("shared_bottom", _SHAPES[key[1]]), generator)
        return np.asarray(losses * mean(key) / losses.mean())
    left, width, counts = _bins(key)
    if generator is None:
        within = np.concatenate([(np.arange(count) + 0.5) / count for count in counts if count])
    else:
        within = generator.random(RUNS)
    start, exponent = np.repeat(left, counts), _exponent(np.repeat(left, counts), width, within, mean(key))
    return np.sort(start + width * within**exponent)


def losses(generator: np.random.Generator | None = None) -> dict[Key, pd.Series]:
    """The losses of all `cells()`, by run; the paper does not say which runs of different cells belong together.

    Args:
        generator: draws where in its bin each run lies; None for evenly.
    """
    order = np.random.default_rng(0) if generator is None else generator
    return {key: pd.Series(order.permutation(spread(key, generator))) for key in cells()}


def label_pearson() -> dict[float, float]:
    """Figure 2's Pearson correlation of two tasks' labels, by task correlation."""
    table = paper.table("figure2")
    return dict(zip(table["weight_cosine"].round(9), table["label_pearson_mean"], strict=True))


def replica(key: Key, generator: np.random.Generator, size: int) -> np.ndarray:
    """Final losses of another study of the same distribution `(size,)`: what would be found if all were as it was."""
    if key[0] == SMALL:
        shape = ("shared_bottom", _SHAPES[key[1]])
        return replica(shape, generator, size) * mean(key) / mean(shape)
    left, width, counts = _bins(key)
    even = np.concatenate([(np.arange(count) + 0.5) / count for count in counts if count])
    exponent = _exponent(np.repeat(left, counts), width, even, mean(key))
    return generator.choice(np.repeat(left, counts), size) + width * generator.random(size) ** exponent


def _bins(key: Key) -> tuple[np.ndarray, float, np.ndarray]:
    """Left ends, width and counts of the bins."""
    edges, shares = paper.histogram("figure4", *key)
    return edges[:-1], 1 / 30, np.rint(shares * RUNS).astype(int)


def _exponent(start: np.ndarray, width: float, within: np.ndarray, wanted: float) -> float:
    """Exponent g with which `start + width · within^g` has the wanted mean, by bisection of its logarithm."""
    low, high = -3.0, 3.0
    for _ in range(60):
        middle = (low + high) / 2
        too_high = (start + width * within ** np.exp(middle)).mean() > wanted
        low, high = (middle, high) if too_high else (low, middle)
    return float(np.exp((low + high) / 2))
