"""The bar says what is known, and no more."""

import itertools
import re
import time

import pytest
from rich.console import Console

from mmoe_repro.training import progress
from mmoe_repro.training.progress import ProgressBar


@pytest.fixture
def clock(monkeypatch):
    """Time, which stands still until it is set."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_slow_work_without_a_bar_is_told_in_a_line(monkeypatch, capsys):
    with progress.told_if_slow("model=mmoe is being tried"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "_SLOW", 0.0)
    with progress.told_if_slow("model=mmoe is being tried"):
        for _ in range(500):
            if err := capsys.readouterr().err:
                break
            time.sleep(0.01)
    assert err == "mmoe-repro: model=mmoe is being tried; this takes long\n"


def test_without_a_terminal_there_is_a_plain_line_now_and_then(clock, capsys):
    with ProgressBar("40 runs", 1000) as bar:
        for second in range(1000):
            clock[0] += 1
            bar.at_work(1, "mmoe at 0.5")
            bar.at_work(2, "omoe at 1" if second < 500 else "")
            bar.progress(1)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and "\x1b" not in err and "\r" not in err
    assert lines[0] == "  1% of 40 runs  0:11, 16:29 left  mmoe at 0.5, omoe at 1"
    assert lines[-1].endswith(" left  mmoe at 0.5")
    at = [
        sum(int(part) * 60**power for power, part in enumerate(reversed(line.split()[4].strip(",").split(":"))))
        for line in lines
    ]
    gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert all(10 <= gap <= max(11, earlier / 10 + 2) for gap, earlier in zip(gaps, at, strict=False))


def test_nothing_is_estimated_before_there_is_progress(clock, capsys):
    with ProgressBar("40 runs", 1000) as bar:
        bar.progress(0)
        clock[0] += 60  # compiling
        bar.progress(500)  # by an earlier command
        clock[0] += 11
        bar.progress(0)
        clock[0] += 9
        bar.progress(50)
        clock[0] += 11
        bar.progress(50)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [" 50% of 40 runs  1:00", " 50% of 40 runs  1:11"]
    assert lines[-1] == " 60% of 40 runs  1:31, 2:04 left", "100 of 1,000 in 31 seconds"


def test_a_measure_is_shown_in_place_of_what_is_at_work(clock, capsys):
    with ProgressBar("3 settings", 3, "best score") as bar:
        clock[0] += 11
        bar.progress(1, 0.25)
    assert capsys.readouterr().err == " 33% of 3 settings  0:11  best score 0.250\n"


def test_a_terminal_of_80_columns_has_room_for_it(clock, monkeypatch):
    terminal = Console(force_terminal=True, width=80, record=True, stderr=True)
    monkeypatch.setattr(progress, "Console", lambda **_: terminal)
    with ProgressBar("5,400 runs", 1000) as bar:
        bar.progress(1)
        clock[0] += 3600
        for worker, name in enumerate(("compiling shared_bottom", "mmoe at 0.9", "omoe at 0.9")):
            bar.at_work(worker, name)
        bar.progress(450)
    shown = terminal.export_text().rstrip()[-80:]
    assert re.fullmatch(r" 45% of 5,400 runs ━+[╸╺]━* 1:00:00, 1:13:12 left compiling shared_bottom, .*…", shown)
