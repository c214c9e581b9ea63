"""Keep the numbers of README and docs what the committed tables say.

    python scripts/docs.py            write them anew
    python scripts/docs.py --check    list those that differ; exit status 1 if any does

A number is followed by a comment that names its table, row and column, and is written with as many decimals as it has:

    0.255<!-- results/figure4/losses.csv | model=mmoe, correlation=0.5, task=1, loss=final | mean -->

A percentage (`57 %<!-- … -->`) is a share times 100. Between `<!-- table: … -->` and `<!-- end -->` stands a table:

    <!-- table: losses results/figure4 -->       means (sd) by model and correlation, beside the paper's
    <!-- table: means results/architectures -->  the same without the paper's, the best model first
    <!-- table: trainability results/a -->       runs near a model's best, and what varies, by model and correlation
    <!-- table: verdicts results/a results/b --> the verdict of each claim in these folders, beside the paper's own runs
"""

import argparse
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd
import yaml

from mmoe_repro.findings import paper_runs
from mmoe_repro.names import NAMES
from mmoe_repro.text import markdown

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
NUMBER = re.compile(r"([−-]?[\d,]*\.?\d+)( ?%| ?×)?<!-- ([^|>]+)\|([^|>]*)\|([^|>]+)-->")
TABLE = re.compile(r"<!-- table: (\w+) ([^>]*?) ?-->\n(.*?)<!-- end -->", re.DOTALL)
CODE = re.compile(r"```.*?```", re.DOTALL)


@cache
def read(path: str) -> pd.DataFrame:
    """A committed table."""
    file = ROOT / path
    return pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)


def value(path: str, row: str, column: str) -> float:
    """The number that a comment names.

    Raises:
        ValueError: not exactly one row is named.
    """
    table = read(path.strip())
    for condition in filter(None, map(str.strip, row.split(","))):
        key, _, wanted = condition.partition("=")
        cells = table[key.strip()]
        same = cells == float(wanted) if pd.api.types.is_numeric_dtype(cells) else cells.astype(str) == wanted.strip()
        table = table[same]
    if len(table) != 1:
        raise ValueError(f"{path.strip()} | {row.strip()}: {len(table)} rows")
    return float(table[column.strip()].iloc[0])


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
            cells += [f"{row.best:.3f}", f"{row.near_runs:.0%}".replace("%", " %"), ", ".join(sds)]
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
    return markdown(["", "the paper says", *(f"`{folder.removeprefix('results/')}`" for folder in folders)], rows)


KINDS = {"losses": losses, "means": means, "trainability": trainability, "verdicts": verdicts}


def renewed(text: str) -> str:
    """A page with its numbers and tables written anew."""

    def number(match: re.Match[str]) -> str:
        like, unit, *named = match.groups()
        return f"{written(value(*named), like, unit)}{unit or ''}<!-- {'|'.join(named)}-->".replace("<!--  ", "<!-- ")

    def table(match: re.Match[str]) -> str:
        kind, arguments, _ = match.groups()
        return f"<!-- table: {kind} {arguments} -->\n{KINDS[kind](*arguments.split())}<!-- end -->"

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
