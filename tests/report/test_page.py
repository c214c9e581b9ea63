"""The page of a sweep: what is written on it, and that a real browser shows it."""

import json
import re
import shutil
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import SMALL
from omegaconf import OmegaConf
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys

from mmoe_repro import paper, tables
from mmoe_repro.config import Cell, folder, read_claims
from mmoe_repro.recovery.search import base
from mmoe_repro.report import page
from mmoe_repro.results import SweptCell
from mmoe_repro.trainability import trainability_table
from mmoe_repro.verdicts import beside, judge_sweep

RUNS = 20
MEANS = {"shared_bottom": 0.2, "omoe": 0.1, "mmoe": 0.08}


def made_up(data=("figure2_m4",), correlations=(0.5, 0.9, 1.0)):
    """Cells and tables of runs that were never trained: half of Shared-Bottom's end at 0.45, with a dead tower."""
    generator = np.random.default_rng(0)
    cells, runs, curves = [], [], []
    for law in data:
        for model, mean in MEANS.items():
            for p in correlations:
                settings = deepcopy(base(model))
                settings["data"].update(correlation=p, c=0.5 if law == "figure2_m4" else 0.6)
                cell = SweptCell(Cell(model, law, settings), {}, list(range(RUNS)), [])
                cells.append(cell)
                losses = generator.normal(mean * (1.5 - p / 2), 0.01, RUNS)
                dead = (np.arange(RUNS) % 2 == 0) & (model == "shared_bottom")
                losses[dead] = generator.normal(0.45, 0.002, dead.sum())
                keys = {**cell.keys, "seed": range(RUNS), "task": 1}
                told = {"final_loss": losses, "test_loss": losses, "dead_units": dead.astype(float), "stuck": dead}
                runs.append(pd.DataFrame({**keys, **told, "diverged": False}))
                for step in (0, 5_000, 9_900):
                    curves.append(pd.DataFrame({**keys, "step": step, "loss": losses * (2 - step / 9_900)}))
    return cells, pd.concat(runs, ignore_index=True), pd.concat(curves, ignore_index=True)


@pytest.fixture
def written(tmp_path):
    """Write the page of made-up runs; return its path and text."""

    def write(diverged=False, others=None, paper_loss=1.0, **chosen):
        cells, runs, curves = made_up(**chosen)
        if diverged:
            runs = runs.assign(diverged=True, final_loss=np.nan, test_loss=np.nan)
            curves = curves.assign(loss=np.nan)
        claims = read_claims(OmegaConf.create({"claims": yaml.safe_load((folder() / "claims/paper.yaml").read_text())}))
        rates = dict.fromkeys((cell.cell.identity for cell in cells), True)
        losses = tables.losses_table(cells, runs, rates)
        judged = judge_sweep(claims, cells, rates, runs)
        swept = page.Swept(cells, rates, runs, curves, losses, ["mmoe-repro", "sweep"], {"torch": "2.13"}, paper_loss)
        path = tmp_path / "report.html"
        path.write_text(page.render("mine", swept, judged, trainability_table(cells, runs), claims, others or {}))
        return path, path.read_text()

    return write


def test_the_page_needs_nothing_and_says_what_the_tables_say(written):
    path, text = written()
    assert path.stat().st_size < 5_000_000
    assert not re.search(r'(?:src|href)="(?!#|data:)', text) and "http" not in text.replace("http://www.w3.org", "")
    assert text.count('class="verdict reproduced"') >= 2, "in the table, and at the claim"
    assert not re.search(r">\s*nan\b", text)
    # 3 × 3 histograms, 3 panels of curves and of live units, 2 of losses, one for each claim that runs decide.
    assert len(re.findall(r'<svg [^>]*aria-label="[^"]', text)) == 9 + 3 + 3 + 2 + 8
    (tips,) = re.findall(r'data-tips="([^"]*)" aria-label="Shared-Bottom, task correlation 1"', text)
    told = [tip[2] for tip in json.loads(tips.replace("&#34;", '"'))]
    assert any("0 live units: 50.0%" in line for line in told), told
    stuck = text[text.index('id="stuck"') :]
    row = re.search(r"Shared-Bottom</td><td>1</td><td>20</td><td>50.0%</td><td>4.0</td><td>50.0%</td>", stuck)
    assert row, "stuck, live units of eight, none alive"
    assert re.search(r"Shared-Bottom</td><td>1</td>(<td>[^<]*</td>){5}<td>99%</td>", stuck), "of the variance"


def test_the_papers_losses_are_shown_as_squared_errors(written):
    _, text = written(paper_loss=0.5)
    assert "Figure 4 × 2" in text and "Figure 5 × 2" in text
    midway = paper.table("figure4").query("model == 'mmoe' and correlation == 1 and step == 5000")["mean_loss"].item()
    assert f"MMoE in the paper {2 * midway:.3f}" in text


def test_laws_stand_side_by_side_and_a_fitted_one_is_named_so(written):
    _, text = written(data=("figure2_m4", "recovered"))
    assert "data figure2_<wbr>m4</th>" in text and "data recovered</th>" in text
    assert "shows only that a setting exists" in text
    _, text = written()
    assert "shows only that a setting exists" not in text


def test_verdicts_of_other_folders_stand_beside(written, run, tmp_path):
    claims = ("F2", "F3", "C1", "C2a", "C2b", "C3", "T1", "T2", "T3")
    one = pd.DataFrame({"id": claims, "verdict": "contradicted"})
    many = pd.concat([one.assign(law=law) for law in "abcde"])[["law", "id", "verdict"]]
    many.loc[many["law"] == "a", "verdict"] = "untested"
    others = {**beside("other", one), **beside("laws", many)}
    assert list(beside("laws", many[many["law"] < "c"])) == ["laws: a", "laws: b"]
    _, text = written(others=others)
    assert ">other</th>" in text and ">laws: 5 settings</th>" in text
    assert text.count("contradicted 4, untested 1</td>") == 9
    outcome = run("report", "results/x", "beside=[results/y]")
    assert outcome.status == 2 and "results/x: no results" in outcome.err


def test_missing_cells_and_what_adds_them(written):
    _, text = written(correlations=(0.5, 1.0))
    assert 'class="verdict untested"' in text and "Missing: shared_bottom at 0.9" in text
    assert "mmoe-repro sweep model=shared_bottom,omoe,mmoe data.correlation=0.5,0.9,1" in text


def test_runs_that_all_diverged_leave_a_page(written):
    _, text = written(diverged=True)
    assert "The curves are not among the files" in text and not re.search(r"\bnan\b", text)


def test_report_judges_what_is_there(run, tmp_path):
    small = ("model=shared_bottom", "data.correlation=0.5,0.9,1", *SMALL)
    assert run("sweep", *small).status == 0
    results = tmp_path / "results/sweep"
    first, verdicts = (results / "report.html").read_text(), (results / "verdicts.csv").read_text()
    shutil.rmtree(results / "cells")  # the tables are enough
    (results / "report.html").unlink()
    outcome = run("report", "results/sweep")
    assert outcome.status == 0, outcome.err
    assert "report.html" in outcome.out
    assert (results / "verdicts.csv").read_text() == verdicts
    assert (results / "report.html").read_text() == first

    outcome = run("report", "results/sweep", "claims.F3.ratio=100", "fail_on=contradicted")
    assert outcome.status == 1 and "F3: contradicted" in outcome.out
    assert run("report", "results/sweep", "fail_on=contradicted", "claims.F3.ratio=0.01").status == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "mmoe-repro report: which results?"),
        (("results/nothing",), "results/nothing: no results of a sweep, config.yaml is missing"),
        (("results/x", "fail_on=contradict"), "did you mean 'contradicted'?"),
        (("results/x", "claims.level=3"), "claims.level=3: must be between 0 and 1"),
        (("results/x", "fail=1"), "fail"),
    ],
)
def test_mistakes(run, arguments, says):
    outcome = run("report", *arguments)
    assert outcome.status == 2
    assert says in outcome.err and outcome.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [("--cfg", "job"), ("results/x", "--cfg", "job"), ("--help",)])
def test_flags_that_take_a_value_keep_it(run, arguments):
    outcome = run("report", *arguments)
    assert outcome.status == 0 and "fail_on" in outcome.out, outcome.err


@pytest.fixture
def browser():
    """A headless Chromium that notes what it asks of the network."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs Debian's chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-quic", "no-first-run"):
        options.add_argument(f"--{flag}")
    for flag in ("disable-background-networking", "disable-component-update", "disable-sync"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def test_in_a_browser(written, browser):
    path, _ = written()
    browser.get(path.as_uri())
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"]
    assert urls and all(url.startswith(("file:", "data:")) for url in urls), urls

    # A table sorts by numbers, up and then down.
    head = next(one for one in browser.find_elements("css selector", "#losses ~ * th") if one.text.startswith("mean"))
    column = browser.execute_script("return arguments[0].cellIndex", head)
    cells = f"return [...arguments[0].closest('table').tBodies[0].rows].map(row => row.cells[{column}].textContent)"
    for order in (1, -1):
        head.find_element("css selector", "button").click()
        shown = [float(value) for value in browser.execute_script(cells, head)]
        assert len(shown) == 9 and shown == sorted(shown)[::order]
    assert head.get_attribute("aria-sort") == "descending"

    # A chart tells its numbers to a pointer and to a keyboard.
    told = browser.find_element("id", "told")
    curves = browser.find_element("css selector", "#curves ~ figure .panels svg")
    curves.send_keys(Keys.ARROW_RIGHT)
    assert "step 0" in told.text and "Shared-Bottom" in told.text
    curves.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert "step" in told.text and "step 0" not in told.text
    curves.send_keys(Keys.ESCAPE)
    assert not told.text
    ActionChains(browser).move_to_element(curves).perform()
    assert "in the paper" in told.text

    # Light and dark: the ground follows, and all text keeps its contrast. A narrow screen needs no scrolling across.
    contrasts = """
        const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(v => { v /= 255;
          return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
          return .2126 * r + .7152 * g + .0722 * b; };
        const under = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
          if (!/, 0\\)$/.test(c)) return c; } };
        const texts = document.querySelectorAll('p, td, th, h1, h2, h3, a, code, pre, figcaption, summary, .verdict');
        return [...texts].map(e => { const pair = [light(getComputedStyle(e).color), light(under(e))];
          return (Math.max(...pair) + .05) / (Math.min(...pair) + .05); });
    """
    for scheme, ground in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 24, 29)")):
        feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
        body = browser.find_element("tag name", "body")
        assert body.value_of_css_property("background-color").replace("rgba", "rgb").replace(", 1)", ")") == ground
        assert min(browser.execute_script(contrasts)) >= 4.5
    narrow = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
