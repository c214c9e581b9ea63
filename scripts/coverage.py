"""How often the intervals hold what they should, and how often a verdict is wrong, on distributions that are known.

    python scripts/coverage.py            both tables, in about an hour on two cores
    python scripts/coverage.py --trials 20 --tables verdicts    a look at one of them

Intervals: `mmoe_repro/coverage.csv`, which the report reads. Verdicts: `results/coverage/verdicts.csv`, each wrong one
where it is likeliest. A claim is reproduced if all of its parts hold, so one part lies at its bound and the others well
inside; it is contradicted if any part fails, so all lie at their bounds. Each claim is judged alone, without Holm's
correction. Samples are of a normal and an exponential distribution and of the paper's own Figure 5. The Monte Carlo
error is that of a share of so many trials.
"""

import argparse
import multiprocessing
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from mmoe_repro import paper
from mmoe_repro.claims import CORRELATIONS, MODELS, PARTS, judge
from mmoe_repro.config import folder
from mmoe_repro.statistics import (
    bootstrap,
    contrast,
    expected_best,
    log_ratio_of_bests,
    log_ratio_of_means,
    log_ratio_of_sds,
    standard_deviation,
)

SIZES = (20, 60, 200)
BEST_OF = 50
CLAIMS = yaml.safe_load((folder() / "claims" / "paper.yaml").read_text())


def figure5(model, correlation):
    edges, shares = paper.histogram("figure4", model, correlation)

    def draw(generator, size):
        chosen = generator.choice(len(shares), size, p=shares / shares.sum())
        return edges[chosen] + generator.random(size) * np.diff(edges)[chosen] + 0.02  # no loss of zero

    return draw


DISTRIBUTIONS = {
    "normal": lambda generator, size: generator.normal(0.1, 0.02, size),
    "exponential": lambda generator, size: 0.05 + generator.exponential(0.05, size),
    "Figure 5, Shared-Bottom at 0.5": figure5("shared_bottom", 0.5),
    "Figure 5, OMoE at 0.5": figure5("omoe", 0.5),
}


def truth(name):
    """Mean, standard deviation and expected best of a distribution, from two million draws."""
    many = DISTRIBUTIONS[name](np.random.default_rng(1), 2_000_000)
    best = many.reshape(-1, BEST_OF).min(-1).mean()
    return {"mean": many.mean(), "sd": many.std(), "best": best}


def intervals(job, trials):
    """Coverage of each kind of interval of one distribution and size."""
    name, size = job
    draw, true = DISTRIBUTIONS[name], truth(name)
    generator = np.random.default_rng([size, *map(ord, name)])
    held = {"mean": [], "sd": [], "ratio of means": [], "ratio of sds": [], "difference of gaps": []}
    gaps = next(PARTS["C2a"](CLAIMS["C2a"])).quantity
    ratio_of_gaps = CLAIMS["C2a"]["ratio"]
    if size >= BEST_OF:
        held |= {f"expected best of {BEST_OF}": [], "ratio of bests": []}
    for _ in range(trials):
        one, other = draw(generator, size), draw(generator, size)
        measured = {
            "mean": (bootstrap(one), true["mean"]),
            "sd": (bootstrap(one, standard_deviation), true["sd"]),
            "ratio of means": (contrast([one, other], log_ratio_of_means, 0.0), 0.0),
            "ratio of sds": (contrast([one, other], log_ratio_of_sds, 0.0), 0.0),
            # One gap of a tenth of the mean, and another of two tenths.
            "difference of gaps": (
                contrast([1.1 * one, other, 1.2 * draw(generator, size), draw(generator, size)], gaps, 0.0),
                (0.1 - 0.2 * ratio_of_gaps) * true["mean"],
            ),
        }
        if size >= BEST_OF:
            best, ratio = partial(expected_best, of=BEST_OF), partial(log_ratio_of_bests, of=BEST_OF)
            measured |= {
                f"expected best of {BEST_OF}": (contrast([one], best, true["best"]), true["best"]),
                "ratio of bests": (contrast([one, other], ratio, 0.0), 0.0),
            }
        for kind, (found, value) in measured.items():
            held[kind].append(found.low <= value <= found.high)
    return [
        {"interval": kind, "distribution": name, "runs": size, "coverage": np.mean(hits), "error": error(hits)}
        for kind, hits in held.items()
    ]


def error(hits):
    share = np.mean(hits)
    return np.sqrt(max(share * (1 - share), 0.25 / len(hits)) / len(hits))


def at_bounds(claim):
    """Scales of the cells' losses with which every part of a claim lies at its bound."""
    scale = {(model, p): 1.0 for model in MODELS for p in CORRELATIONS}
    if claim == "C2a":
        scale |= {("mmoe", 0.5): 1 + 0.4 * CLAIMS["C2a"]["ratio"], ("omoe", 0.5): 1.4, ("shared_bottom", 0.5): 1.4}
    if claim in ("C2b", "T2"):
        scale |= {("omoe", 1.0): CLAIMS[claim]["margin"], ("omoe", 0.5): CLAIMS[claim]["ratio"]}
    if claim == "T1":
        scale |= {("shared_bottom", p): CLAIMS["T1"]["ratio"] for p in CORRELATIONS}
    if claim == "T3":
        scale |= {("shared_bottom", p): CLAIMS["T3"]["margin"] for p in CORRELATIONS}
    return scale


def one_at_its_bound(claim):
    """Scales with which one part of a claim lies at its bound and the others as far inside as they go."""
    scale, far = at_bounds(claim), 5.0
    if claim == "F3":
        scale |= {("shared_bottom", 1.0): 1 / far}
    if claim == "C1":
        scale |= {("omoe", 0.5): far, ("mmoe", 0.5): far}
    if claim == "C2a":
        scale |= {("shared_bottom", 0.5): far}
    if claim in ("C2b", "T2"):
        scale |= {("omoe", 0.5): far}
    if claim in ("C3", "T1"):
        scale |= {("shared_bottom", p): far for p in CORRELATIONS}
        scale |= {("omoe", 0.5): far / CLAIMS[claim]["ratio"]}
    if claim == "T3":
        middle = np.sqrt(CLAIMS["T3"]["margin"])
        scale |= {(model, p): middle for model in MODELS for p in CORRELATIONS}
        scale |= {("shared_bottom", 0.5): CLAIMS["T3"]["margin"], ("omoe", 0.5): 1.0}
    return scale


WORST = {"reproduced": one_at_its_bound, "contradicted": at_bounds}


def verdicts(job, trials):
    """How often a claim is said to be reproduced or contradicted where it is not, at worst."""
    claim, name, size = job
    generator = np.random.default_rng([size, *map(ord, claim + name)])
    settings = {"level": CLAIMS["level"], **{one: CLAIMS[one] for one in ("F2", claim)}}
    rates = {}
    for wrong, scales in WORST.items():
        hits = []
        for _ in range(trials):
            losses = {
                key: pd.Series(scale * DISTRIBUTIONS[name](generator, size)) for key, scale in scales(claim).items()
            }
            _, found = judge(settings, dict.fromkeys(("final_loss", "test_loss"), losses), {})
            hits.append(found.verdict == wrong)
        rates.update({wrong: np.mean(hits), f"{wrong}_error": error(hits)})
    return [{"claim": claim, "distribution": name, "runs": size, **rates}]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tables", nargs="*", default=["intervals", "verdicts"], choices=["intervals", "verdicts"])
    options = parser.parse_args()
    root = Path(__file__).parents[1]
    jobs = {
        root / "mmoe_repro" / "coverage.csv": (intervals, list(product(DISTRIBUTIONS, SIZES))),
        root / "results" / "coverage" / "verdicts.csv": (
            verdicts,
            [job for job in product(("F3", "C1", "C2a", "C2b", "C3", "T1", "T2", "T3"), DISTRIBUTIONS, SIZES)
             if not (job[0] == "T3" and job[2] < BEST_OF)],
        ),
    }  # fmt: skip
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for path, (work, of_work) in jobs.items():
            if work.__name__ not in options.tables:
                continue
            rows = [row for rows in pool.imap(partial(work, trials=options.trials), of_work) for row in rows]
            path.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame(rows).to_csv(path, index=False, float_format="%.4f")
            print(pd.DataFrame(rows).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
