"""A few trials of each kind; `python scripts/chaos.py` makes them all."""

import random
import runpy
from pathlib import Path

import pytest

CHAOS = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "chaos.py"))


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    random.seed(0)
    return CHAOS["Sweeps"](tmp_path_factory.mktemp("sweeps"))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "trials"), list(zip(CHAOS["KINDS"], (1, 1, 1, 1, 1, 2, 4, 8), strict=True)))
def test_a_disturbed_sweep_goes_on_and_gives_the_same(sweeps, kind, trials):
    chosen = random.Random(0).sample(list(CHAOS["KINDS"][kind](sweeps)), trials)
    assert [found for trial in chosen if (found := trial())] == []


def test_there_are_hundreds_of_bad_command_lines():
    lines = [line for line, _ in CHAOS["bad_lines"]()]
    assert len(set(lines)) == len(lines) > 300
