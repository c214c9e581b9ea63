"""Keep the numbers of README and docs what the committed tables say.

    python scripts/docs.py            write them anew
    python scripts/docs.py --check    list those that differ; exit status 1 if any does

A number is followed by a comment that names its table, row and column, and is written with as many decimals as it has:

    0.255<!-- results/figure4/losses.csv | model=mmoe, correlation=0.5, task=1, loss=final | mean -->

A percentage (`57 %<!-- … -->`) is a share times 100. Conditions of a row may be `<` and `>`, too; of several rows it is
the `min …` or `max …` of a column, or their `count`. Two such names with ` / ` between them are a ratio. Between
`<!-- table: … -->` and `<!-- end -->` stands a table, made by the function of this name (`KINDS`):

    <!-- table: losses results/figure4 -->

A paragraph with numbers that no table has says whose they are: `<!-- stated: the paper's own -->`.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from mmoe_repro.atlas.findings import Atlas, in_words
from mmoe_repro.findings import paper_runs
from mmoe_repro.findings.claim_comparisons import judge
from mmoe_repro.names import NAMES
from mmoe_repro.text import markdown, percent

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
NUMBER = re.compile(r"([−-]?[\d,]*\.?\d+)( ?%| ?×)?<!-- ((?:(?!-->)[^|])+\|(?:(?!-->).)+?) ?-->")
TABLE = re.compile(r"<!-- table: ([^>]+?) -->\n(.*?)<!-- end -->", re.DOTALL)
CODE = re.compile(r"```.*?```", re.DOTALL)
STATED = re.compile(r"<!-- stated: [^>]+-->")


@cache
def read(path: str) -> pd.DataFrame:
    """A committed table; of a YAML file its first level, by `key`."""
    file = ROOT / path
    if file.suffix == ".yaml":
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
        return pd.DataFrame([{"key": key, **of} for key, of in settings.items() if isinstance(of, dict)])
    return pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)


def value(named: str) -> float:
    """The number that a comment names.

    Raises:
        ValueError: a row is not there, or not alone where neither `count`, `min` nor `max` is asked for.
    """
    found = [_of_rows(*map(str.strip, one.split("|"))) for one in named.split(" / ")]
    return found[0] / found[1] if len(found) == 2 else found[0]


def _of_rows(path: str, row: str, column: str) -> float:
    table = read(path)
    for condition in filter(None, re.split(r", (?=[\w.]+[=<>])", row)):  # values may have commas, too
        key, sign, wanted = re.split("([=<>])", condition, maxsplit=1)
        cells = table[key]
        if sign == "=":
            same = cells == float(wanted) if pd.api.types.is_numeric_dtype(cells) else cells.astype(str) == wanted
        else:
            same = cells < float(wanted) if sign == "<" else cells > float(wanted)
        table = table[same]
    if column == "count":
        return len(table)
    how, _, of = column.rpartition(" ")
    if len(table) == 0 or (len(table) > 1 and not how):
        raise ValueError(f"{path} | {row}: {len(table)} rows")
    return float(table[of].agg(how) if how else table[of].iloc[0])


def written(number: float, like: str, unit: str | None) -> str:
    """A number with the decimals, signs and thousands of another."""
    decimals = len(like.partition(".")[2])
    number = 100 * number if unit and "%" in unit else number
    text = f"{number:,.{decimals}f}" if "," in like or abs(number) >= 10_000 else f"{number:.{decimals}f}"
    return text.replace("-", "−") if "−" in like or number < 0 else text


def ours(folder: str) -> dict[str, dict[float, str]]:
    """Mean final losses of task 1 (sd over runs) by model and correlation, in the paper's unit."""
    table = read(f"{folder}/losses.csv").query("task == 1 and loss == 'final' and chosen != False")
    factor = float(yaml.safe_load((ROOT / folder / "config.yaml").read_text()).get("paper_loss", 1.0))
    found: dict[str, dict[float, str]] = {}
    for row in table.sort_values("correlation", kind="stable").itertuples():
        found.setdefault(row.model, {})[row.correlation] = f"{factor * row.mean:.3f} ({factor * row.sd:.3f})"
    return {model: found[model] for model in dict.fromkeys(table["model"])}


def means(folder: str) -> str:
    """`ours`, the models by their mean at the lowest correlation."""
    by_model = ours(folder)
    correlations = list(next(iter(by_model.values())))
    rows = [[NAMES.get(model, model), *of_model.values()] for model, of_model in by_model.items()]
    header = ["mean final loss of task 1 (sd over runs)", *(f"p = {p:g}" for p in correlations)]
    return markdown(header, sorted(rows, key=lambda row: row[1]))


def trainability(folder: str) -> str:
    """The best mean, the runs near it and what varies at the best rate, by model and correlation."""
    table = read(f"{folder}/trainability.csv")
    correlations = sorted(table["correlation"].unique())
    rows = []
    for model in dict.fromkeys(table["model"]):
        cells = [NAMES.get(model, model)]
        for p in correlations:
            (row,) = table[(table["model"] == model) & (table["correlation"] == p)].itertuples()
            sds = (f"{sd:.3f}" for sd in (row.sd_setting, row.sd_data, row.sd_init, row.sd_rest))
            cells += [f"{row.best:.3f}", percent(row.near_runs), ", ".join(sds)]
        rows.append(cells)
    of_p = ("best mean", "runs within 25 % of it", "sd by initialiser, data, initial weights, both")
    return markdown(["", *(f"p = {p:g}: {what}" for p in correlations for what in of_p)], rows)


def losses(folder: str) -> str:
    """`ours` beside the paper's own."""
    by_model = ours(folder)
    correlations = list(next(iter(by_model.values())))
    own = [key for key in paper_runs.cells() if key[1] in correlations]
    rows = []
    for model, of_model in by_model.items():
        theirs = [
            f"{paper_runs.mean((model, p)):.3f} ({paper_runs.spread((model, p)).std(ddof=1):.3f})"
            for p in correlations
            if (model, p) in own and any(key[1] == p for key in own)
        ]
        rows.append([NAMES.get(model, model), *of_model.values(), *theirs])
    header = ["mean final loss (sd over runs)", *(f"p = {p:g}" for p in correlations)]
    header += [f"paper, p = {p:g}" for p in correlations if any(key[1] == p and key[0] in NAMES for key in own)]
    return markdown(header, rows)


def verdicts(*folders: str) -> str:
    """The verdict and the deciding effect of each claim, by folder."""
    tables = {folder: read(f"{folder}/verdicts.csv").drop_duplicates("id").set_index("id") for folder in folders}
    first = next(iter(tables.values()))
    rows = []
    for claim, row in first.iterrows():
        shown = []
        for table in tables.values():
            of_claim = table.loc[claim]
            effect = "" if pd.isna(of_claim["low"]) else f" {of_claim['effect']:.2f}"
            size = f", {of_claim['size']}" if isinstance(of_claim["size"], str) and of_claim["size"] else ""
            shown.append(f"{of_claim['verdict']}{effect}{size}")
        rows.append([str(claim), row["says"], *shown])
    return markdown(["", "the paper says", *(folder.removeprefix("results/") for folder in folders)], rows)


def short(number: float) -> str:
    """Three digits, or nothing where there is no number."""
    return "" if pd.isna(number) else f"{number:.3g}"


def between(value: float, low: float, high: float) -> str:
    """A value with its interval, where it has one."""
    return f"{short(value)} ({short(low)} to {short(high)})" if pd.notna(low) else short(value)


def first_bounds(folder: str) -> pd.DataFrame:
    """What the first bounds gave in a folder, which can no longer be judged by them, by data law and claim."""
    table = read("results/coverage/first_bounds.csv").fillna({"data": ""})
    return table[table["folder"] == folder].set_index(["data", "id"])


def paper_verdicts() -> str:
    """What the paper's own runs come to by both bounds."""
    losses = paper_runs.losses()
    claims = yaml.safe_load((ROOT / "conf" / "claims" / "paper.yaml").read_text(encoding="utf-8"))
    of_runs = {"final_loss": losses, "test_loss": losses}
    before = first_bounds("paper")["verdict"]
    rows = []
    for one in judge(claims, of_runs, paper_runs.label_pearson(), paper_loss=1.0):
        holds = f"{'above' if one.above else 'below'} {short(one.bound)}"
        found = [between(one.effect, one.low, one.high), holds, f"{one.p:.2g}"]
        rows.append([one.id, one.part, *found, before["", one.id], one.verdict])
    return markdown(["claim", "decided by", "effect", "holds", "p", "verdict before", "verdict now"], rows)


def power() -> str:
    """How often replicas of the paper are called reproduced, and the runs at which four in five are."""
    table = read("results/coverage/power.csv").pivot(index="claim", columns="runs", values="reproduced")
    before = first_bounds("paper")["power_200"]
    shown = [20, 40, 60, 200]
    rows = []
    for claim, found in table.iterrows():
        first = int(np.argmax(found.to_numpy() > 0.8))
        runs = np.interp(0.8, found.iloc[first - 1 : first + 1], found.index[first - 1 : first + 1])
        shares = [*found[shown], before["", claim]]
        rows.append([claim, *("" if pd.isna(one) else percent(one) for one in shares), f"{round(runs, -1):.0f}"])
    return markdown(["claim", *map(str, shown), "200, before", "runs for 80 %"], by_claim(rows))


def by_claim(rows: list[list[str]]) -> list[list[str]]:
    """Rows in the order of the paper's claims."""
    order = list(read("conf/claims/paper.yaml")["key"])
    return sorted(rows, key=lambda row: order.index(row[0]))


def wrong_verdicts() -> str:
    """Percent of wrong verdicts, at worst of all distributions."""
    table = read("results/coverage/size.csv").groupby(["claim", "runs"])[["reproduced", "contradicted"]].max()
    kinds = [(verdict, runs) for verdict in ("reproduced", "contradicted") for runs in (20, 60, 200)]
    rows = [
        [claim, *(f"{100 * table.loc[(claim, runs), verdict]:.1f}" for verdict, runs in kinds)]
        for claim in table.index.unique("claim")
    ]
    return markdown(["claim", "reproduced: 20", "60", "200", "contradicted: 20", "60", "200"], by_claim(rows))


def interval_coverage() -> str:
    """Percent of intervals that hold the true value."""
    table = read("mmoe_repro/findings/interval_coverage.csv")
    of_figure5 = table[table["distribution"].str.startswith("Figure 5")]
    pooled = table[table["distribution"].str.contains(" to ")]
    of_losses = ("mean", "sd", "ratio of sds")
    either = ("difference of shares", "difference of quantiles")
    rows = []
    for confidence, intervals in (
        (0.95, (*of_losses, *either, "ratio of means")),
        (0.9875, ("ratio of means", "ratio of ratios", "difference of gaps", *either)),
    ):
        for interval in intervals:
            row = [interval, f"{100 * confidence:g}"]
            for kind in (of_figure5, pooled):
                asked = kind[(kind["interval"] == interval) & (kind["confidence"] == confidence)]
                worst = asked.groupby("runs")["coverage"].min()
                row += [f"{100 * worst[runs]:.1f}" for runs in (20, 60, 200)]
            rows.append(row)
    header = ["interval", "asked", "Figure 5, at worst: 20", "60", "200", "rare failures, pooled: 20", "60", "200"]
    return markdown(header, rows)


def rejudged(*folders: str) -> str:
    """The verdicts of folders by the first bounds and by these."""
    rows = []
    for folder in folders:
        table = read(f"results/{folder}/verdicts.csv")
        before = first_bounds(folder)["verdict"]
        for one in table.itertuples():
            law = getattr(one, "data", "")
            if (law, one.id) not in before:
                continue
            found = [one.verdict, one.size, between(one.effect, one.low, one.high)]
            found += [between(one.paper, one.paper_low, one.paper_high), "" if pd.isna(one.p) else f"{one.p:.2g}"]
            rows.append([f"{folder} {law}".strip(), one.id, before[law, one.id], *("" if x != x else x for x in found)])
    return markdown(["folder", "claim", "before", "now", "size", "effect", "paper, and between", "p"], rows)


def laws() -> str:
    """The best fit of Figure 2's points for each number of sines and either noise."""
    table = read("results/recovery/laws.csv")
    best = table.loc[table.groupby(["sines", "noise_variance"])["misfit"].idxmin()]
    rows = []
    for sines, of in best.groupby("sines"):
        by_noise = of.sort_values("noise_variance", ascending=False).itertuples()
        rows.append([str(sines), *(f"{row.misfit:,.{int(row.misfit < 10)}f}, {row.worst:.4f}" for row in by_noise)])
    readings = ("variance 0.01", "sd 0.01")
    return markdown(["m", *(f"ε of {reading}: misfit, farthest point" for reading in readings)], rows)


def distances(folder: str) -> str:
    """Final means of the chosen rates beside the paper's, and the distances of curves and histograms."""
    table = read(f"{folder}/losses.csv").query("task == 1 and loss == 'final'")
    rows = []
    for one in read(f"{folder}/distances.csv").itertuples():
        key = ["data", "model", "correlation", "learning_rate"]
        (mean,) = table.loc[(table[key] == [getattr(one, name) for name in key]).all(axis=1), "mean"]
        theirs = paper_runs.mean((one.model, one.correlation))
        numbers = [f"{mean:.3f}", f"{theirs:.3f}", f"{mean / theirs:.2f}", f"{one.curve:.3f}", f"{one.wasserstein:.3f}"]
        rows.append([one.data, NAMES[one.model], f"{one.correlation:g}", f"{one.learning_rate:g}", *numbers])
    header = ["law", "model", "p", "rate", "final mean", "paper", "ratio", "curve, log10 rms", "Wasserstein"]
    return markdown(header, rows)


def tally(settings: str, *folders: str) -> str:
    """How many settings each verdict has, and the verdict in the folders that test the claim."""
    table = read(settings)
    kinds = ("reproduced", "inconclusive", "contradicted")
    rows = []
    for claim in table["id"].unique():
        found = table.loc[table["id"] == claim, "verdict"]
        tested = (found != "untested").any()
        counts = [str((found == kind).sum()) if tested else "–" for kind in kinds]
        there = pd.concat([read(f"{folder}/verdicts.csv").set_index("id") for folder in folders])["verdict"]
        rows.append([claim, *counts, next(one for one in there[claim] if one != "untested")])
    return markdown(["claim", *kinds, "571, 200 runs"], rows)


def unlearnt(*folders: str) -> str:
    """Runs that learn only one of their tasks + none, by setting and model; a cell of two folders is shown once."""
    table = pd.DataFrame()
    shown: set[str] = set()
    for folder in folders:
        runs = read(f"{folder}/runs.parquet")
        keys = list(runs.columns[: list(runs.columns).index("seed")])
        cells = runs[keys].drop_duplicates().set_index("cell")
        swept = [key for key in cells if key not in ("model", "correlation") and cells[key].nunique() > 1]
        for row in read(f"{folder}/joint_outcomes.csv").itertuples():
            if row.cell not in shown:
                of = cells.loc[row.cell]
                setting = [f"{key.rpartition('.')[2].replace('_', ' ')} {of[key]}" for key in swept]
                line = ", ".join([*setting, f"p = {of['correlation']:g}"])
                table.loc[line, of["model"]] = f"{row.one} + {row.none}"
                shown.add(row.cell)
    models = sorted(table, key=lambda model: [*NAMES, model].index(model))
    header = [f"one + none of {runs['seed'].nunique()}", *(NAMES.get(one, one.replace("_", " ")) for one in models)]
    return markdown(header, [[line, *table.loc[line, models]] for line in table.index])


def predicted(folder: str) -> str:
    """The mean and the shares of task 1's final losses at the correlation that is held out."""
    runs = read(f"{folder}/runs.parquet").query("task == 1 and correlation == 0.9")
    rows = []
    for model in ("shared_bottom", "omoe", "mmoe"):
        losses = runs.loc[runs["model"] == model, "final_loss"]
        shares = pd.cut(losses, [0, 0.167, 0.4, np.inf]).value_counts(normalize=True, sort=False)
        rows.append([NAMES[model], f"{losses.mean():.3f}", *(percent(share) for share in shares)])
    return markdown(["model at p = 0.9", "final mean", "below 0.167", "0.167 to 0.4", "above 0.4"], rows)


def atlas(folder: str) -> str:
    """In how many settings of an atlas each claim's direction holds, and which choices that hangs on."""
    found = Atlas(**{table.name: read(f"{folder}/{table.name}.csv") for table in fields(Atlas)})
    claims = zip(found.claims["claim"], found.claims["says"], in_words(found), strict=True)
    return markdown(
        ["claim", "says", "answer"], [[claim, says, answer.removeprefix(f"{claim} ")] for claim, says, answer in claims]
    )


def by_value(folder: str, choice: str) -> str:
    """In what share of an atlas's settings with each value of a choice each claim's direction holds."""
    of_choice = read(f"{folder}/shares.csv").query("choice == @choice")
    values = list(dict.fromkeys(of_choice["value"]))
    rows = [
        [str(claim), *(percent(share) for share in of_claim.set_index("value").loc[values, "share"])]
        for claim, of_claim in of_choice.groupby("claim", sort=False)
    ]
    return markdown(["claim", *(f"{choice}: {value}" for value in values)], rows)


_OF_RESULTS = (
    losses,
    means,
    trainability,
    verdicts,
    rejudged,
    laws,
    distances,
    predicted,
    tally,
    unlearnt,
    atlas,
    by_value,
)
_OF_CLAIMS = (paper_verdicts, power, wrong_verdicts, interval_coverage)
KINDS: dict[str, Callable[..., str]] = {kind.__name__: kind for kind in (*_OF_RESULTS, *_OF_CLAIMS)}


def renewed(text: str) -> str:
    """A page with its numbers and tables written anew."""

    def number(match: re.Match[str]) -> str:
        like, unit, named = match.groups()
        return f"{written(value(named), like, unit)}{unit or ''}<!-- {named} -->"

    def table(match: re.Match[str]) -> str:
        kind, *folders = match[1].split()
        return f"<!-- table: {match[1]} -->\n{KINDS[kind](*folders)}<!-- end -->"

    return TABLE.sub(table, NUMBER.sub(number, text))


def differences(path: Path) -> Iterator[str]:
    """Lines of a page that are not what the tables say."""
    text = path.read_text(encoding="utf-8")
    for number, (is_, wanted) in enumerate(zip(text.splitlines(), renewed(text).splitlines(), strict=False), 1):
        if is_ != wanted:
            yield f"{path.relative_to(ROOT)}:{number}: {is_}\n  should be: {wanted}"


def bare(text: str) -> list[str]:
    """Numbers with decimals, and percentages, that name no table; code, tables that are written and settings aside."""
    text = TABLE.sub("", CODE.sub("", text))
    text = "\n\n".join(paragraph for paragraph in text.split("\n\n") if not STATED.search(paragraph))
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|<!--.*?-->(?=[^\S\n]*)", lambda m: "§" if m[0].startswith("<!--") else "", text)
    found = re.findall(r"(?<![\w.§/])(?:\d[\d,]*\.\d+|\d+ ?%)(?![\w.]*§)(?! ?[%×]?§)", text)
    return [one for one in found if one not in ("0.5", "0.9", "0.01", "0.001", "0.0001")]


def main() -> int:
    """Write or check; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail if a number is not as its table says"
    )
    options = parser.parse_args()
    if options.check:
        found = [line for path in PAGES for line in differences(path)]
        print(*found, sep="\n", file=sys.stderr)
        return 1 if found else 0
    for path in PAGES:
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
