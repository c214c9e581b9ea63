"""How often the intervals hold what they should, how often a verdict is wrong, and how often it is found.

    python scripts/coverage.py                                    all tables, in about a quarter of an hour on two cores
    python scripts/coverage.py --share 0.1 --tables power         a look at one of them

- `coverage`, in `mmoe_repro/findings/interval_coverage.csv`, which the report reads: how often an interval holds the
  true value.
- `size`, in `results/coverage/size.csv`: how often a claim is said to be reproduced or contradicted where it is not,
  at worst. A claim is reproduced if all of its parts hold, so one part lies at its bound and the others well inside; it
  is contradicted if any part fails, so all lie at their bounds.
- `power`, in `results/coverage/power.csv`: how often a replica of the paper (`findings/paper_runs.py`) is said to be
  reproduced, and how often its size is said to be another.

Losses are of a normal and an exponential distribution, of the paper's own Figure 5, and of runs that rarely fail: 0.5
to 4 % of them, apart and pooled, beside others that fail a quarter as often. `error` is the Monte Carlo error. The
bootstraps of `size` and `power` have 1,999 resamples, those of `coverage` all.
"""

import argparse
import multiprocessing
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from mmoe_repro.findings import paper_runs, statistics
from mmoe_repro.findings.claim_comparisons import CORRELATIONS, MODELS, PARTS, judge
from mmoe_repro.findings.paper_runs import SMALL
from mmoe_repro.findings.statistics import (
    Means,
    Quantiles,
    Shares,
    bootstrap,
    contrast,
    log_ratio_of_sds,
    standard_deviation,
)
from mmoe_repro.settings.schema import folder

CLAIMS = yaml.safe_load((folder() / "claims" / "paper.yaml").read_text())
#: Of each side of an interval that decides.
LEVEL = CLAIMS["level"] / len(PARTS)
#: Shares of runs that fail, where they do rarely.
RARELY = (0.005, 0.01, 0.02, 0.04)


def rarely(share):
    """Runs near 0.06, of which a share fails and ends near 0.45."""

    def draw(generator, size):
        failed = generator.random(size) < share
        return np.where(failed, generator.normal(0.45, 0.03, size), 0.06 * np.exp(generator.normal(0, 0.2, size)))

    return draw


DISTRIBUTIONS = {
    "normal": lambda generator, size: generator.normal(0.1, 0.02, size),
    "exponential": lambda generator, size: 0.05 + generator.exponential(0.05, size),
    "Figure 5, Shared-Bottom at 0.5": partial(paper_runs.replica, ("shared_bottom", 0.5)),
    "Figure 5, OMoE at 0.5": partial(paper_runs.replica, ("omoe", 0.5)),
    "Figure 5, MMoE at 0.5": partial(paper_runs.replica, ("mmoe", 0.5)),
    **{f"{share:.1%} fail": rarely(share) for share in RARELY},
}
#: Beside which another is measured; else itself.
BESIDE = {f"{share:.1%} fail": rarely(share / 4) for share in RARELY}


def binomial(hits, trials):
    """Share of trials, and its Monte Carlo error."""
    share = hits / trials
    return share, np.sqrt(max(share * (1 - share), 0.25 / trials) / trials)


# -- coverage ------------------------------------------------------------------------------------


def far(losses, typical):
    """Whether each run ends badly, as `ends_badly` has it."""
    return losses > np.quantile(losses, 0.1) + CLAIMS["bad"] * typical


def coverage(job, share):
    """How many intervals of each kind hold the true value, of one distribution and size."""
    name, size = job
    draws = DISTRIBUTIONS[name], BESIDE.get(name, DISTRIBUTIONS[name])
    many = [draw(np.random.default_rng(seed), 2_000_000) for seed, draw in enumerate(draws)]
    typical, quantile = min(map(np.median, many)), CLAIMS["T3"]["quantile"]
    truth = {
        "mean": many[0].mean(),
        "sd": many[0].std(),
        "ratio of means": np.log(many[0].mean() / many[1].mean()),
        "ratio of sds": np.log(many[0].std() / many[1].std()),
        "ratio of ratios": 0.0,
        "difference of gaps": 0.0,
        "difference of shares": far(many[0], typical).mean() - far(many[1], typical).mean(),
        "difference of quantiles": np.quantile(many[0], quantile) - np.quantile(many[1], quantile),
    }
    if name not in BESIDE:
        truth |= {kind: 0.0 for kind in truth if " of " in kind}
    generator, hits = np.random.default_rng([size, *map(ord, name)]), {}

    def count(kind, confidence, low, high):
        hits.setdefault((kind, confidence), []).append(low <= truth[kind] <= high)

    for trial in range(round(600 * share)):
        samples = np.array([draw(generator, size) for draw in 2 * draws])
        one, other = samples[:2]
        weights, typical = np.array([1, -1, -1, 1]), np.median(samples[:2], axis=1).min()
        for kind, found in (
            ("ratio of means", Means(samples[:2], weights[:2], logs=True)),
            ("ratio of ratios", Means(samples, weights, logs=True)),
            ("difference of gaps", Means(samples, weights, logs=False)),
            ("difference of quantiles", Quantiles(one, other, quantile)),
            ("difference of shares", Shares(far(one, typical), far(other, typical))),
        ):
            for level in (0.025, LEVEL):
                count(kind, 1 - 2 * level, found.lower(level), found.upper(level))
        if trial < 200 * share:
            mean, sd = bootstrap(one), bootstrap(one, standard_deviation)
            ratio = contrast([one, other], log_ratio_of_sds, 0.0)
            for kind, found in (("mean", mean), ("sd", sd), ("ratio of sds", ratio)):
                count(kind, 0.95, found.low, found.high)
    return [
        {"interval": kind, "confidence": confidence, "distribution": name, "runs": size}
        | dict(zip(("coverage", "error"), binomial(sum(held), len(held)), strict=True))
        for (kind, confidence), held in hits.items()
    ]


def pooled(table):
    """The table with a row over all shares of runs that fail."""
    rare = table[table["distribution"].str.endswith("fail")]
    mean = rare.groupby(["interval", "confidence", "runs"], sort=False)[["coverage"]].mean()
    mean["error"] = rare.groupby(["interval", "confidence", "runs"], sort=False)["error"].agg(
        lambda errors: np.sqrt((errors**2).sum()) / len(errors)
    )
    return pd.concat([table, mean.reset_index().assign(distribution="0.5 to 4 % fail, pooled")[list(table.columns)]])


# -- size ----------------------------------------------------------------------------------------


def at_bounds(claim, draw):
    """By cell, what draws losses with which every part of a claim lies at its bound.

    Losses are of one distribution, and scaled where means are compared, failing in the same share where shares are,
    and shifted where the lowest are.
    """
    keys = [(model, p) for model in (*MODELS, SMALL) for p in CORRELATIONS]
    cells = dict.fromkeys(keys, (draw, 1.0, 0.0, 0.0))
    if claim == "C2b":
        cells["omoe", 1.0] = (draw, CLAIMS["C2b"]["factor"], 0.0, 0.0)
    if claim == "T2":
        cells["omoe", 1.0] = (draw, 1.0, 0.0, CLAIMS["T2"]["margin"])
    if claim == "T3":
        cells |= {("shared_bottom", p): (draw, 1.0, CLAIMS["T3"]["margin"], 0.0) for p in CORRELATIONS}
    return cells


def one_at_its_bound(claim, draw):
    """By cell, what draws losses with which one part lies at its bound and the others as far inside as they go."""
    cells, far = at_bounds(claim, draw), (draw, 5.0, 0.0, 0.0)
    if claim == "C1":
        cells |= {("omoe", 0.5): far, ("mmoe", 0.5): far}
    if claim == "C2b":
        cells["omoe", 0.5] = far
    if claim == "C3":
        cells |= {("shared_bottom", p): far for p in CORRELATIONS} | {("omoe", 0.5): far}
    if claim == "T1":
        failing = (draw, 1.0, 0.0, 0.5)
        cells |= {("shared_bottom", p): failing for p in CORRELATIONS} | {("omoe", 0.5): failing}
    if claim == "T2":
        cells["omoe", 0.5] = (draw, 1.0, 0.0, 0.6)
    if claim == "T3":
        margin = CLAIMS["T3"]["margin"]
        cells |= {(model, p): (draw, 1.0, margin / 2, 0.0) for model in MODELS for p in CORRELATIONS}
        cells |= {("shared_bottom", 0.5): (draw, 1.0, margin, 0.0), ("mmoe", 0.5): (draw, 1.0, 0.0, 0.0)}
    return cells


def drawn(cell, generator, size):
    """Losses of a cell: of its distribution, scaled, shifted, and a share of them failing."""
    draw, scale, shift, share = cell
    losses = scale * draw(generator, size) + shift
    return pd.Series(np.where(generator.random(size) < share, losses + 1.0, losses))


WORST = {"reproduced": one_at_its_bound, "contradicted": at_bounds}
#: Distributions for the claims of means, and for those of shares and of the lowest losses.
OF_MEANS = ("exponential", "Figure 5, Shared-Bottom at 0.5", "Figure 5, OMoE at 0.5", "2.0% fail")
OF_SHARES = ("normal", "Figure 5, MMoE at 0.5", "1.0% fail", "4.0% fail")


def size(job, share):
    """How often a claim is said to be reproduced or contradicted where it is not, at worst."""
    claim, name, count = job
    generator, trials = np.random.default_rng([count, *map(ord, claim + name)]), round(200 * share)
    settings = {key: CLAIMS[key] for key in ("level", "bad", claim)}
    row = {"claim": claim, "distribution": name, "runs": count}
    for wrong, scales in WORST.items():
        cells = scales(claim, DISTRIBUTIONS[name])
        hits = 0
        for _ in range(trials):
            losses = {key: drawn(cell, generator, count) for key, cell in cells.items()}
            (found,) = judge(settings, dict.fromkeys(("final_loss", "test_loss"), losses), {}, paper_loss=1.0)
            hits += found.verdict == wrong
        row[wrong], row[f"{wrong}_error"] = binomial(hits, trials)
    return [row]


# -- power ---------------------------------------------------------------------------------------


def power(job, share):
    """How often a replica of the paper is found to reproduce each claim, or to be of another size."""
    (count,) = job
    generator, trials = np.random.default_rng(count), round(400 * share)
    found = {name: [] for name in PARTS}
    for _ in range(trials):
        losses = {key: pd.Series(paper_runs.replica(key, generator, count)) for key in paper_runs.cells()}
        for verdict in judge(CLAIMS, dict.fromkeys(("final_loss", "test_loss"), losses), {}, paper_loss=1.0):
            if verdict.id in found:
                found[verdict.id].append((verdict.verdict, verdict.size))
    rows = []
    for name, outcomes in found.items():
        row = {"claim": name, "runs": count}
        for place, outcome in ((0, "reproduced"), (0, "contradicted"), (1, "larger"), (1, "smaller")):
            row[outcome], row[f"{outcome}_error"] = binomial(sum(one[place] == outcome for one in outcomes), trials)
        rows.append(row)
    return rows


def fewer_resamples():
    """Take a fifth of the resamples: trials are many, and their mean is what counts."""
    statistics.RESAMPLES = 1_999


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the trials of the committed tables")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tables", nargs="*", default=["coverage", "size", "power"])
    options = parser.parse_args()
    root = Path(__file__).parents[1]
    committed = root / "results" / "coverage"
    of_size = [(claim, name) for claim in PARTS for name in (OF_SHARES if claim[0] == "T" else OF_MEANS)]
    tables = {
        "coverage": (
            root / "mmoe_repro" / "findings" / "interval_coverage.csv",
            coverage,
            list(product(DISTRIBUTIONS, (20, 60, 200))),
        ),
        "size": (committed / "size.csv", size, [(*one, count) for one, count in product(of_size, (20, 60, 200))]),
        "power": (
            committed / "power.csv",
            power,
            [(count,) for count in (20, 40, 60, 200, 400, 600, 800)],
        ),
    }
    for name in options.tables:
        path, work, jobs = tables[name]
        initializer = None if name == "coverage" else fewer_resamples
        with multiprocessing.get_context("spawn").Pool(options.workers, initializer) as pool:
            rows = [row for rows in pool.imap(partial(work, share=options.share), jobs) for row in rows]
        table = pooled(pd.DataFrame(rows)) if name == "coverage" else pd.DataFrame(rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=False, float_format="%.4f")
        print(table.to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
