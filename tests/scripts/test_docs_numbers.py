"""Numbers of README and docs are those of the committed tables."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = runpy.run_path(str(ROOT / "scripts" / "docs.py"))
#: What README says of settings and requirements, not of results.
STATED = {"3.11", "0.157", "9.45", "0.548", "0.05"}
MEAN = "results/figure4/losses.csv | model=mmoe, correlation=0.5, task=1, loss=final | mean"


@pytest.mark.parametrize("page", DOCS["PAGES"], ids=lambda path: path.name)
def test_a_page_says_what_the_tables_say(page):
    assert list(DOCS["differences"](page)) == []


def test_every_result_in_the_readme_names_its_table():
    assert set(DOCS["bare"]((ROOT / "README.md").read_text(encoding="utf-8"))) <= STATED


def test_a_stale_number_is_found_and_written_anew():
    stale = f"MMoE ends at 0.123<!-- {MEAN} --> there"
    assert DOCS["renewed"](stale) == f"MMoE ends at 0.079<!-- {MEAN} --> there"
    assert DOCS["renewed"](f"12.3 %<!-- {MEAN} -->") == f"7.9 %<!-- {MEAN} -->"
    table = "<!-- table: losses results/figure4 -->\n| 1 |\n<!-- end -->"
    assert "| MMoE | 0.079 (0.050) |" in DOCS["renewed"](table)


def test_a_number_without_a_table_is_noticed():
    assert DOCS["bare"](f"0.255 and 33 %, but not 0.079<!-- {MEAN} -->, `0.7` or p = 0.5") == ["0.255", "33 %"]


def test_a_row_that_is_not_there_or_not_alone_is_refused():
    with pytest.raises(ValueError, match="0 rows"):
        DOCS["value"]("results/figure4/losses.csv", "model=none", "mean")
    with pytest.raises(ValueError, match="36 rows"):
        DOCS["value"]("results/figure4/losses.csv", "", "mean")
