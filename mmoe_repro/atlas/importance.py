"""Which choices a finding hangs on: tests of where it holds, and a forest fitted to the size of its effect.

Where a claim holds: whether it does so in other shares of the settings with each value of a choice, by a permutation
test. As many choices are tested of many claims, p-values are adjusted for all of them (Benjamini and Hochberg 1995).

How large its effect is: a random forest (Breiman 2001) learns the margin by which its direction holds from the choices.
What a choice matters is the share of the margin's variance that it decides, alone and together with others (the total
effect of Homma and Saltelli 1996): half of what the squared error grows by in settings that the forest has not seen
when the choice's values are permuted among them (Jansen 1999). How much is explained at all is the forest's fit; where
that is low, the importances say little.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

from mmoe_repro.findings.statistics import wilson

#: Folds of the cross-validation, and permutations in each.
_FOLDS, _PERMUTATIONS = 5, 5
#: Margins beyond these quantiles count as these, so that a few settings do not decide.
_WITHIN = 0.05, 0.95
#: The most important choices, of which pairs are tried.
_PAIRED = 3
#: Draws of the permutation test.
_DRAWS = 99_999
#: Parts of a range in tables and maps.
BINS = 4


class Importances(NamedTuple):
    """What the size of a claim's effect hangs on.

    Attributes:
        fit: share of the margin's variance that the forest explains in settings that it has not seen; below 0 if none,
            NaN of margins that hardly vary.
        of_choices: columns importance (share of the variance that the choice decides, alone and together with others)
            and error (its standard error over the folds, which is too small, since they share settings), by choice.
    """

    fit: float
    of_choices: pd.DataFrame


def importances(design: pd.DataFrame, margin: pd.Series) -> Importances:
    """Fit a forest to the margins of a claim and measure what it loses without each choice.

    Args:
        design: of `design.draw`, the settings that were trained.
        margin: of each of them; settings without one are left out.
    """
    known = margin.notna()
    choices, wanted = design.loc[known.to_numpy()], _within(margin[known])
    errors, lost = [], []
    for forest, unseen_choices, unseen_margin in _folds(choices, wanted):
        errors.append(((forest.predict(unseen_choices) - unseen_margin) ** 2).sum())
        found = permutation_importance(
            forest,
            unseen_choices,
            unseen_margin,
            scoring="neg_mean_squared_error",
            n_repeats=_PERMUTATIONS,
            random_state=0,
        )
        lost.append(found.importances_mean)
    variance = float(wanted.var(ddof=0)) or np.nan
    shares = np.array(lost) / (2 * variance)
    table = pd.DataFrame(
        {"importance": shares.mean(axis=0), "error": shares.std(axis=0, ddof=1) / np.sqrt(_FOLDS)},
        index=pd.Index(choices.columns, name="choice"),
    )
    return Importances(float(1 - np.sum(errors) / (variance * len(wanted))), table)


def where(design: pd.DataFrame, holds: pd.Series) -> pd.DataFrame:
    """Whether a claim holds in other shares of the settings with each value of a choice, or part of a range.

    If the choice does not matter, the settings in which the claim holds are a random draw of all of them: how many have
    each value is multivariate hypergeometric. Of that many draws, as large a chi-squared as found is the p-value.

    Args:
        design: the settings that were trained.
        holds: whether the claim holds in each of them.

    Returns:
        columns p (not adjusted), direction (rank correlation of holding with the values, in their order; NaN for
        choices without an order, or where the claim holds always or never) and best (the value with the highest share),
        by choice.
    """
    generator = np.random.default_rng(0)
    rows = []
    for name in design:
        by_value = holds.groupby(parts(design[name]).to_numpy())
        settings, held = by_value.size(), by_value.sum()
        draws = generator.multivariate_hypergeometric(settings.to_numpy(), int(held.sum()), _DRAWS, method="marginals")
        expected = settings.to_numpy() * (held.sum() / settings.sum())
        squares = ((np.vstack([held.to_numpy(), draws]) - expected) ** 2 / settings.to_numpy()).sum(axis=1)
        as_large = int((squares[1:] >= squares[0] * (1 - 1e-9)).sum())
        rows.append(
            {
                "p": (1 + as_large) / (1 + _DRAWS),
                "direction": _direction(design[name], holds),
                "best": str((held / settings).idxmax()),
            }
        )
    return pd.DataFrame(rows, index=pd.Index(design.columns, name="choice"))


def _folds(choices: pd.DataFrame, margin: pd.Series) -> Iterator[tuple[RandomForestRegressor, np.ndarray, np.ndarray]]:
    """A forest for each fold, fitted to the others, with the fold's own choices and margins."""
    for seen, unseen in KFold(_FOLDS, shuffle=True, random_state=0).split(choices):
        coded, wanted = _coded(choices, margin, seen), margin.to_numpy(float)
        yield _forest(coded[seen], wanted[seen]), coded[unseen], wanted[unseen]


def _coded(choices: pd.DataFrame, margin: pd.Series, seen: np.ndarray) -> np.ndarray:
    """Choices as numbers `(settings, choices)`; those without an order by the margin of each value's seen settings.

    Trees cut best along that order (Breiman et al. 1984, section 4.2.2).
    """
    columns = []
    for name in choices:
        if is_ordered(choices[name]):
            columns.append(choices[name].to_numpy(float))
            continue
        encoder, coded = TargetEncoder(target_type="continuous"), np.empty(len(choices))
        unseen = np.setdiff1d(np.arange(len(choices)), seen)
        # Seen settings are coded without their own margin, else a forest takes the code for the margin.
        inner = ((seen[fit], seen[rest]) for fit, rest in KFold(_FOLDS, shuffle=True, random_state=0).split(seen))
        for fit, rest in (*inner, (seen, unseen)):
            encoder.fit(choices[[name]].iloc[fit], margin.iloc[fit])
            coded[rest] = encoder.transform(choices[[name]].iloc[rest])[:, 0]
        columns.append(coded)
    return np.column_stack(columns)


def _forest(choices: np.ndarray, margin: np.ndarray) -> RandomForestRegressor:
    forest = RandomForestRegressor(n_estimators=100, min_samples_leaf=3, max_features=0.5, random_state=0)
    return forest.fit(choices, margin)


def is_ordered(values: pd.Series) -> bool:
    """Whether a choice is a range."""
    return pd.api.types.is_float_dtype(values)


def _within(margin: pd.Series) -> pd.Series:
    return margin.clip(*margin.quantile(list(_WITHIN)))


def _direction(values: pd.Series, holds: pd.Series) -> float:
    """Rank correlation with a range, or with numbers that are named in ascending order."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().any() or numbers.nunique() < 2 or holds.nunique() < 2:
        return np.nan
    return float(stats.spearmanr(numbers, holds).statistic)


def parts(values: pd.Series) -> pd.Series:
    """A choice's values as names, a range in `BINS` parts that hold equally many settings, in their order."""
    if not is_ordered(values):
        names = list(dict.fromkeys(sorted(values, key=_place)))
        return pd.Series(pd.Categorical(values, categories=names, ordered=True), index=values.index)
    edges = np.quantile(values, np.linspace(0, 1, BINS + 1))
    digits = next(digits for digits in range(2, 18) if len({f"{edge:.{digits}g}" for edge in edges}) == len(edges))
    labels = [f"{low:.{digits}g} to {high:.{digits}g}" for low, high in pairwise(edges)]
    return pd.cut(values, edges, labels=labels, include_lowest=True)


def _place(name: str) -> tuple[bool, float, str]:
    """Numbers by size, then words; numbers at the end of a name count, too."""
    number = pd.to_numeric(str(name).rpartition(" ")[2], errors="coerce")
    return bool(np.isnan(number)), float(np.nan_to_num(number)), str(name)


def shares(design: pd.DataFrame, holds: pd.Series) -> pd.DataFrame:
    """In how many settings of each value, or part of a range, the direction of a claim holds.

    Returns:
        columns choice, value, settings, holds, share, low and high, the 95 % interval of the share (Wilson 1927).
    """
    rows = []
    for name in design:
        for value, of_value in holds.groupby(parts(design[name]).to_numpy(), sort=False):
            rows.append({"choice": name, "value": str(value), **share_of(of_value)})
    order = {
        (name, str(value)): place for name in design for place, value in enumerate(parts(design[name]).cat.categories)
    }
    table = pd.DataFrame(rows)
    places = [order[key] for key in zip(table["choice"], table["value"], strict=True)]
    table["_choice"] = pd.Categorical(table["choice"], categories=list(design.columns))
    table["_place"] = places
    return table.sort_values(["_choice", "_place"], ignore_index=True).drop(columns=["_choice", "_place"])


def share_of(holds: pd.Series) -> dict[str, float]:
    """Of how many settings a direction holds in how many, and the share with its 95 % interval; NaN of none."""
    count, of = int(holds.sum()), len(holds)
    if not of:
        return {"settings": 0, "holds": 0, "share": np.nan, "low": np.nan, "high": np.nan}
    low, high = wilson(count, of, 1.96)
    return {"settings": of, "holds": count, "share": count / of, "low": low, "high": high}


def pair(design: pd.DataFrame, holds: pd.Series, of: Sequence[str]) -> pd.DataFrame:
    """In how many settings of each pair of values of two choices the direction holds: as `shares`, two of each."""
    one, other = (parts(design[name]) for name in of)
    rows = []
    for first in one.cat.categories:
        for second in other.cat.categories:
            of_both = holds[((one == first) & (other == second)).to_numpy()]
            named = {"choice": of[0], "value": str(first), "other": of[1], "other_value": str(second)}
            rows.append(named | share_of(of_both))
    return pd.DataFrame(rows)


def best_pair(design: pd.DataFrame, margin: pd.Series, of: Importances) -> tuple[str, str] | None:
    """The two choices that together, and without the others, explain most of a claim's margin; None of fewer.

    Args:
        design: the settings that were trained.
        margin: of each of them.
        of: what `importances` gave; its most important choices are tried in pairs, but those of more values than a
            range has parts, of which pairs would have few settings each.
    """
    design = design[[name for name in design if parts(design[name]).nunique() <= BINS]]
    known = margin.notna()
    choices, wanted = design.loc[known.to_numpy()], _within(margin[known])
    ranked = of.of_choices.loc[choices.columns, "importance"].sort_values(ascending=False).index[:_PAIRED]

    def error(pair: tuple[str, str]) -> float:
        folds = _folds(choices[list(pair)], wanted)
        return sum(float(((forest.predict(unseen) - margin) ** 2).sum()) for forest, unseen, margin in folds)

    best: tuple[str, str] | None = min(combinations(ranked, 2), key=error, default=None)
    return best
