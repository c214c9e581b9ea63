"""Numbers of README and docs are those of the committed tables."""

import runpy
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
DOCS = runpy.run_path(str(ROOT / "scripts" / "docs.py"))
MEAN = "results/figure4/losses.csv | model=mmoe, correlation=0.5, task=1, loss=final | mean"


@pytest.mark.parametrize("page", DOCS["PAGES"], ids=lambda path: path.name)
def test_a_page_says_what_the_tables_say(page):
    assert list(DOCS["differences"](page)) == []


@pytest.mark.parametrize(
    "page", [page for page in DOCS["PAGES"] if page.name != "design.md"], ids=lambda path: path.name
)
def test_every_result_names_its_table_or_says_whose_it_is(page):
    """But for the design, which has rules and no results."""
    assert DOCS["bare"](page.read_text(encoding="utf-8")) == []


def test_a_stale_number_is_found_and_written_anew():
    stale = f"MMoE ends at 0.123<!-- {MEAN} --> there"
    assert DOCS["renewed"](stale) == f"MMoE ends at 0.079<!-- {MEAN} --> there"
    assert DOCS["renewed"](f"12.3 %<!-- {MEAN} -->") == f"7.9 %<!-- {MEAN} -->"
    table = "<!-- table: losses results/figure4 -->\n| 1 |\n<!-- end -->"
    assert "| MMoE | 0.079 (0.050) |" in DOCS["renewed"](table)


def test_a_number_without_a_table_is_noticed():
    assert DOCS["bare"](f"0.255 and 33 %, but not 0.079<!-- {MEAN} -->, `0.7` or p = 0.5") == ["0.255", "33 %"]


def test_a_number_that_is_stated_to_have_no_table_is_let_be():
    assert DOCS["bare"]("0.255\n<!-- stated: by the paper -->\n\n0.3\nand 0.4") == ["0.3", "0.4"]


def test_ratios_extremes_and_counts_of_rows():
    table = "results/figure4/losses.csv | task=1, loss=final"
    losses = pd.read_csv(ROOT / "results/figure4/losses.csv").query("task == 1 and loss == 'final'")
    assert DOCS["value"](f"{table} | max mean") == losses["mean"].max()
    assert DOCS["value"](f"{table} | count") == len(losses)
    assert DOCS["value"](f"{table}, mean>0.1 | count / {table} | count") == (losses["mean"] > 0.1).mean()
    assert (
        DOCS["value"](f"{table}, mean<0.1 | min mean / {table} | max mean")
        == losses["mean"].min() / losses["mean"].max()
    )
    assert DOCS["value"]("conf/claims/paper.yaml | key=T2 | margin") == 0.1


def test_a_value_may_have_commas():
    row = "interval=sd, runs=20, distribution=Figure 5, OMoE at 0.5"
    assert 0 < DOCS["value"](f"mmoe_repro/findings/interval_coverage.csv | {row} | coverage") < 1


def test_a_row_that_is_not_there_or_not_alone_is_refused():
    with pytest.raises(ValueError, match="0 rows"):
        DOCS["value"]("results/figure4/losses.csv | model=none | max mean")
    with pytest.raises(ValueError, match="36 rows"):
        DOCS["value"]("results/figure4/losses.csv | | mean")
