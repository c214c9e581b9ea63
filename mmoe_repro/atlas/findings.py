"""What the atlas says: in which settings each claim's direction holds, and which choices decide it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from mmoe_repro.atlas.design import CORRELATIONS, Choice, chosen, paper_loss
from mmoe_repro.atlas.importance import BINS, best_pair, importances, pair, share_of, shares, where
from mmoe_repro.findings.claim_comparisons import MODELS, Key, margins, parts_of, without_bad_runs
from mmoe_repro.findings.paper_runs import SMALL
from mmoe_repro.findings.verdicts import judge_runs
from mmoe_repro.names import readable
from mmoe_repro.text import listed, percent

#: Fewer settings than this say nothing of choices.
ENOUGH = 40
#: The size of an effect hangs on choices if they explain at least this share of its variance in unseen settings.
EXPLAINED = 0.05
#: Where a claim holds hangs on a choice if its adjusted p-value is below this.
LEVEL = 0.05
_SEEN, _UNSEEN = "final_loss", "test_loss"
_SAME = "The same, by losses on examples that no run has seen."


@dataclass(frozen=True)
class Atlas:
    """Everything that is said of the settings.

    Claims of mean losses are asked twice: of the losses of training, as the paper's figures have them, and, as
    `C3 unseen`, of losses on examples that no run has seen. Where examples are finite these may differ.

    Attributes:
        settings: a row each, by number: its choices, then by claim the margin by which the direction holds (`T1`), the
            verdict of its runs (`T1_verdict`), and of claims of runs that end badly, whether none does
            (`T1_without_bad_runs`).
        claims: a row each: claim, says, settings, holds, share with its 95 % interval low and high, without_bad_runs
            (settings in which no run that the claim compares ends badly), reproduced and contradicted (settings whose
            runs surely say so), fit (share of the margin's variance that the choices explain in unseen settings).
        importance: claim, choice, importance, error; see `importance.importances`; p (adjusted for all choices of all
            claims), direction, best; see `importance.where`.
        shares: claim, choice, value, settings, holds, share, low, high.
        pairs: claim, choice, value, other, other_value, settings, holds, share, low, high: of the three most important
            choices of at most four values, the two that explain most together.
    """

    settings: pd.DataFrame
    claims: pd.DataFrame
    importance: pd.DataFrame
    shares: pd.DataFrame
    pairs: pd.DataFrame


def asked(claims: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """What is asked of every setting: by name, the claim and the loss that its means are of.

    Args:
        claims: `conf/claims/paper.yaml`.
    """
    found = {}
    for claim, parts in parts_of(claims).items():
        found[claim] = (claim, _SEEN)
        if all(part.column == _SEEN for part in parts):
            found[f"{claim} unseen"] = (claim, _UNSEEN)
    return found


def margins_of(
    losses: pd.DataFrame,
    design: pd.DataFrame,
    choices: Sequence[Choice],
    claims: Mapping[str, Any],
    judged: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    """By setting, the margin of each claim by the losses of both tasks, and the verdict by those of task 1.

    Both tasks are alike, so both say where a mean or a share lies; as they are not independent, a verdict takes one.

    Args:
        losses: of `survey.losses`.
        design: of `design.draw`.
        choices: of the design.
        claims: `conf/claims/paper.yaml`.
        judged: called after each setting.
    """
    rows: dict[Any, dict[str, Any]] = {}
    for number, of_setting in losses.groupby("setting"):
        settings = chosen(choices, {str(name): value for name, value in design.loc[number].items()})
        by_cell = {
            (model, correlation): of_cell.dropna()
            for model in (*MODELS, SMALL)
            for correlation in CORRELATIONS
            for of_cell in [of_setting.query("model == @model and correlation == @correlation")]
        }
        row = rows[number] = {}
        for loss in (_SEEN, _UNSEEN):
            names = {claim: name for name, (claim, of) in asked(claims).items() if of == loss}
            of_loss = {name: value for name, value in claims.items() if name in names or name in ("level", "bad")}
            runs = {key: of_cell.assign(**{_SEEN: of_cell[loss]}) for key, of_cell in by_cell.items()}
            found = _margins_and_verdicts(of_loss, runs, paper_loss(settings))
            row |= {names[claim] + suffix: value for (claim, suffix), value in found.items()}
        judged()
    return pd.DataFrame.from_dict(rows, orient="index")


def _margins_and_verdicts(
    claims: Mapping[str, Any], runs: Mapping[Key, pd.DataFrame], scale: float
) -> dict[tuple[str, str], Any]:
    """By claim and suffix of its column in `Atlas.settings`."""
    both: dict[str, dict[Key, pd.Series]] = {
        column: {key: of_cell.set_index(["seed", "task"])[column] for key, of_cell in runs.items()}
        for column in (_SEEN, _UNSEEN)
    }
    found: dict[tuple[str, str], Any] = {
        (claim, ""): margin for claim, margin in margins(claims, both, paper_loss=scale).items()
    }
    one = {key: of_cell[of_cell["task"] == 1] for key, of_cell in runs.items()}
    for verdict in judge_runs(claims, one, {}, paper_loss=scale):
        found[verdict.id, "_verdict"] = verdict.verdict
    for claim, none_bad in without_bad_runs(claims, both[_UNSEEN]).items():
        found[claim, "_without_bad_runs"] = none_bad
    return found


def find(design: pd.DataFrame, found: pd.DataFrame, claims: Mapping[str, Any]) -> Atlas:
    """Work out what the settings say.

    Args:
        design: of `design.draw`.
        found: of `margins_of`.
        claims: `conf/claims/paper.yaml`.
    """
    design = design.loc[found.index]
    of_claims, of_choices, of_values, of_pairs = [], [], [], []
    for name, (claim, loss) in asked(claims).items():
        known = found[name].notna()
        holds, verdicts = found.loc[known, name] > 0, found[f"{name}_verdict"]
        row: dict[str, Any] = {"claim": name, "says": claims[claim]["says"] if loss == _SEEN else _SAME}
        row |= share_of(holds)
        row["without_bad_runs"] = int(found.get(f"{name}_without_bad_runs", pd.Series(dtype=bool)).sum())
        row |= {word: int((verdicts == word).sum()) for word in ("reproduced", "contradicted")}
        row["fit"] = np.nan
        if known.sum() >= ENOUGH and len(design.columns):
            fitted = importances(design, found[name])
            row["fit"] = fitted.fit
            table = fitted.of_choices.join(where(design[known], holds))
            of_choices.append(table.reset_index().assign(claim=name))
            of_values.append(shares(design[known], holds).assign(claim=name))
            if most := best_pair(design, found[name], fitted):
                of_pairs.append(pair(design[known], holds, most).assign(claim=name))
        of_claims.append(row)
    tables = [_together(tables) for tables in (of_choices, of_values, of_pairs)]
    if len(tables[0]):
        tables[0]["p"] = stats.false_discovery_control(tables[0]["p"])
    return Atlas(design.join(found), pd.DataFrame(of_claims), *tables)


def _together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    return table[["claim", *(column for column in table if column != "claim")]]


def in_words(atlas: Atlas) -> list[str]:
    """A sentence for each claim: in how many settings its direction holds, and what that hangs on."""
    sentences = []
    for _, claim in atlas.claims.iterrows():
        name, count = claim["claim"], claim["settings"]
        if not count:
            sentences.append(f"{name} cannot be told: no setting has runs of all its cells.")
            continue
        sentence = (
            f"{name} holds in {percent(claim['share'])} of {count} settings "
            f"({100 * claim['low']:.0f} to {percent(claim['high'])})"
        )
        if claim["without_bad_runs"]:
            sentence += f", and in {percent(claim['without_bad_runs'] / count)} no run ends badly"
        sentences.append(sentence + _hangs_on(atlas, str(name), int(count)))
    return sentences


def sure(atlas: Atlas, name: str) -> pd.DataFrame:
    """The choices on which it surely hangs where a claim holds, as rows of `Atlas.importance`, the surest first."""
    if atlas.importance.empty:
        return atlas.importance
    of_claim = atlas.importance[(atlas.importance["claim"] == name) & (atlas.importance["p"] < LEVEL)]
    return of_claim.sort_values(["p", "importance"], ascending=[True, False])


def explained(atlas: Atlas) -> list[str]:
    """The claims of whose effects' sizes choices explain enough to speak of."""
    return list(atlas.claims.loc[atlas.claims["fit"] >= EXPLAINED, "claim"])


def _hangs_on(atlas: Atlas, name: str, count: int) -> str:
    if count < ENOUGH:
        return f"; what it hangs on takes {ENOUGH} settings to say."
    named = [_named(atlas, row) for _, row in sure(atlas, name).head(3).iterrows()]
    if not named:
        return "; on what it hangs they do not show."
    return f"; it hangs on {listed(named)}."


def _named(atlas: Atlas, row: pd.Series) -> str:
    """A choice with the values where a claim holds least and most; alone if it has so many that these are chance."""
    name = readable(str(row["choice"]))
    table = atlas.shares[(atlas.shares["claim"] == row["claim"]) & (atlas.shares["choice"] == row["choice"])]
    if len(table) > BINS:
        return name
    least, most = table.loc[table["share"].idxmin()], table.loc[table["share"].idxmax()]
    return f"{name} ({least['value']}: {percent(least['share'])}, {most['value']}: {percent(most['share'])})"
