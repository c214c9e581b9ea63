"""Every numeric extreme that is allowed: no warning, and nothing on the page that is no number."""

import re

import pytest
from helpers import SMALL

ONE_RUN = ("training.steps=1", "training.window=1", "runs=1", "data.correlation=-1,0,1")


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "extreme",
    [
        ONE_RUN,
        ("training.learning_rate=1e30", "data.correlation=1", "runs=2"),  # all runs diverge
        ("data.alpha=[]", "data.beta=[]", "data.correlation=0.5", "runs=1"),
        ("data.tasks=5", "data.correlation=-0.25", "training.batch_size=1", "runs=1"),
    ],
)
def test_an_extreme_leaves_sane_tables_and_a_sane_page(run, tmp_path, extreme):
    outcome = run("sweep", "model=mmoe", *SMALL, *extreme)
    assert outcome.status == 0, outcome.err
    page = (tmp_path / "results/sweep/report.html").read_text()
    body = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    for text in (body, outcome.out, (tmp_path / "results/sweep/losses.md").read_text()):
        assert not re.search(r"\b(nan|NaN|inf|Infinity|None)\b", text)
