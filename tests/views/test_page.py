"""The page of a sweep: what is written on it, and that a real browser shows it."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import SMALL, made_up_sweep, swept_cell
from omegaconf import OmegaConf
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys

from mmoe_repro import paper
from mmoe_repro.commands.outputs import verdicts_of
from mmoe_repro.findings.sweep_findings import find
from mmoe_repro.recovery.search_space import base
from mmoe_repro.runs.curves import mean_curves
from mmoe_repro.runs.results import Swept, SweptCell
from mmoe_repro.settings.cell import Law
from mmoe_repro.settings.claims import read_claims
from mmoe_repro.settings.schema import folder
from mmoe_repro.views import page
from mmoe_repro.views.figures import pictures_of
from mmoe_repro.views.tables import losses_markdown, verdicts_markdown

RUNS = 20
MEANS = {"shared_bottom": 0.2, "omoe": 0.1, "mmoe": 0.08}


def made_up(data=("figure2_m4",), fitted=None, correlations=(0.5, 0.9, 1.0), models=tuple(MEANS), count=RUNS):
    """Cells and tables of runs that were never trained: half of Shared-Bottom's end at 0.45, with a dead tower.

    `data` are names of laws, `fitted` what some of them were fitted to, `count` the runs of each cell.
    """
    generator = np.random.default_rng(0)
    cells, runs, curves = [], [], []
    for law in data:
        for model in models:
            for p in correlations:
                like = base(model)
                data = {**like.data.settings, "correlation": p, "c": 0.5 if law == "figure2_m4" else 0.6}
                cell = SweptCell(
                    model=like.model,
                    data=Law(law, data, (fitted or {}).get(law)),
                    training=like.training,
                    swept={},
                    seeds=range(count),
                    tuning_seeds=[],
                )
                cells.append(cell)
                losses = generator.normal(MEANS[model] * (1.5 - p / 2), 0.01, count)
                dead = (np.arange(count) % 2 == 0) & (model == "shared_bottom")
                losses[dead] = generator.normal(0.45, 0.002, dead.sum())
                keys = {**cell.keys, "seed": range(count), "task": 1}
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
        none = pd.DataFrame()
        swept = Swept(
            "mine",
            cells,
            runs,
            mean_curves(curves),
            none,
            none,
            ["mmoe-repro", "sweep"],
            {"torch": "2.13", "date": "2026-01-02"},
            paper_loss,
        )
        path = tmp_path / "report.html"
        findings = find(swept, claims)
        path.write_text(page.render(findings, pictures_of(findings), others or {}))
        return path, path.read_text()

    return write


def test_the_page_needs_nothing_and_says_what_the_tables_say(written):
    path, text = written()
    assert path.stat().st_size < 1_000_000
    assert not re.search(r'src="(?!data:)|<link [^>]*href="(?!data:)', text) and "http" not in text.replace(
        "http://www.w3.org", ""
    )
    assert text.count('class="verdict reproduced"') >= 2, "in the table, and at the claim"
    assert not re.search(r">\s*nan\b", text)
    # 3 × 3 histograms, 3 panels of curves and of live units, 2 of losses; one for each tested claim, two of C2a.
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
    _, text = written(data=("figure2_m4", "mine"), fitted={"mine": "Figure 2"})
    assert "data figure2_<wbr>m4</th>" in text and "data mine</th>" in text
    assert "The setting <code>mine</code> was fitted to the paper's Figure 2." in text
    assert "shows only that a setting exists" in text
    _, text = written(data=("recovered",))
    assert "shows only that a setting exists" not in text, "the law says so, not its name"


def test_verdicts_of_other_folders_stand_beside(written, run, tmp_path):
    claims = ("F2", "F3", "C1", "C2a", "C2b", "C3", "T1", "T2", "T3")
    one = pd.DataFrame({"id": claims, "verdict": "contradicted"})
    many = pd.concat([one.assign(law=law) for law in "abcde"])[["law", "id", "verdict"]]
    many.loc[many["law"] == "a", "verdict"] = "untested"
    others = {**verdicts_of("other", one), **verdicts_of("laws", many)}
    assert list(verdicts_of("laws", many[many["law"] < "c"])) == ["laws: a", "laws: b"]
    _, text = written(others=others)
    assert ">other</th>" in text and ">laws: 5 settings</th>" in text
    assert text.count("contradicted 4, untested 1</td>") == 9
    outcome = run("report", "results/x", "beside=[results/y]")
    assert outcome.status == 2 and "results/x: there is no such folder" in outcome.err


def test_missing_cells_and_what_adds_them(written):
    _, text = written(correlations=(0.5,))
    assert "<h1>" in text and "Does the MMoE paper hold" not in text, "no run decides anything of it"
    _, text = written(correlations=(0.5, 1.0), models=("omoe", "mmoe"))
    assert 'class="verdict untested"' in text and re.search("Missing: [^.]*Shared-Bottom at 0.5", text)
    assert "mmoe-repro sweep model=shared_bottom,omoe,mmoe data.correlation=0.5,0.9,1" in text


def test_runs_that_all_diverged_leave_a_page(written):
    _, text = written(diverged=True)
    assert "The curves are not among the files" in text and not re.search(r"\bnan\b", text)


def test_the_answer_and_the_verdicts_come_first_then_the_pictures(written):
    _, text = written()
    answer = re.search(r"<h1>.*?</h1>", text)[0]
    assert re.search(r"Of the paper's 9 claims \d hold here \(", answer.replace("&#39;", "'"))
    places = [
        text.index(part) for part in ("<h1>", 'class="verdicts"', 'id="curves"', 'id="histograms"', 'id="claims"')
    ]
    assert places == sorted(places)
    first = text[: text.index("<nav")]
    assert all(f'href="#{claim}"' in first for claim in ("F2", "F3", "C1", "C2a", "C2b", "C3", "T1", "T2", "T3"))
    assert "20 runs a cell" in first and "2026-01-02" in first
    assert text.count('<details class="claim"') == 9 and '<details class="claim" id="C1" open' not in text
    for file in ("losses.csv", "verdicts.csv", "runs.parquet", "curves.parquet", "figures/curves.png"):
        assert f'<a href="{file}">' in text


def test_two_bounds_of_a_comparison_are_one_row_with_its_name(written):
    _, text = written()
    t3 = text[text.index('id="T3"') :]
    chart = t3[t3.index("<svg viewBox") : t3.index("</svg>", t3.index("<svg viewBox"))]
    names = re.findall(r'class="name"[^>]*>([^<]*)<', chart)
    assert len(names) == len(set(names)) == 9 and "Shared-Bottom at 0.5 less OMoE at 0.5" in names
    assert chart.count('class="bound"') == 18 and chart.count('class="interval"') == 9
    assert "between -0.0667 and 0.0667" in t3


@pytest.mark.parametrize("count", [1, 2])
def test_a_claim_without_enough_runs_is_a_line(written, count):
    _, text = written(count=count)
    claims = text[text.index('id="claims"') : text.index('id="settings"')]
    assert "<svg viewBox" not in claims and "Too few runs" in claims


def test_a_sweep_that_tests_no_claim_does_not_ask_whether_the_paper_holds(written):
    _, text = written(correlations=(0.3,))
    assert "Does the MMoE paper hold" not in text and 'id="claims"' not in text and 'class="verdict' not in text
    assert "MMoE ends lowest on average at task correlation 0.3" in re.search(r"<h1>.*?</h1>", text)[0]


def test_report_judges_what_is_there(run, tmp_path):
    small = ("model=shared_bottom", "model.bottom=[16]", "data.correlation=0.5,0.9,1", *SMALL)
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
        ((), "mmoe-repro: report: which results?"),
        (("results/nothing",), "results/nothing: there is no such folder"),
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


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The script of axe-core, which looks for faults that keep people from reading a page."""
    place = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    command = ["npm", "install", "--no-save", "--no-audit", "--ignore-scripts", "axe-core@4"]
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the npm registry does not answer")
    script = place / "node_modules/axe-core/axe.min.js"
    if done.returncode or not script.is_file():
        pytest.skip("axe-core is not to be had from the npm registry")
    return script.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(written, browser, axe, scheme):
    path, _ = written(data=("figure2_m4", "mine"), fitted={"mine": "Figure 2"})
    feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    browser.get(path.as_uri())
    browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true;")
    browser.execute_script(axe)
    found = browser.execute_async_script("axe.run().then(arguments[0])")["violations"]
    serious = [(one["id"], one["nodes"][0]["html"][:120]) for one in found if one["impact"] in ("serious", "critical")]
    assert not serious


def test_only_what_does_something_is_a_tab_stop(written, browser):
    path, _ = written()
    browser.get(path.as_uri())
    stops = browser.find_elements("css selector", "svg[tabindex]")
    assert stops and all(json.loads(one.get_attribute("data-tips")) for one in stops)


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_wider_than_the_screen_and_the_verdicts_are_on_the_first(written, browser, width):
    path, _ = written()
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(path.as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    top = "return document.querySelector(arguments[0]).getBoundingClientRect()"
    assert browser.execute_script(f"{top}.bottom", "h1") < 300
    assert browser.execute_script(f"{top}.right", ".verdicts .verdict") <= width
    assert browser.execute_script(f"{top}.bottom", ".verdicts li:nth-child(5)") < 900


def test_a_link_unfolds_its_claim(written, browser):
    path, _ = written()
    browser.get(path.as_uri())
    browser.find_element("css selector", 'a[href="#C1"]').click()
    assert browser.find_element("id", "C1").get_attribute("open") is not None
    assert browser.find_element("id", "C2a").get_attribute("open") is None


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
    told = browser.find_element("id", "tip")
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


def test_no_text_of_a_folder_becomes_markup():
    """Names, values, claims and the command of a sweep from anybody else."""
    hostile = "<script>alert(1)</script>|[a](javascript:x)`"
    settings = [
        swept_cell(hostile, hostile, p, swept={hostile: hostile}, settings={hostile: hostile}) for p in (0.5, 1.0)
    ]
    swept = made_up_sweep(settings, np.random.default_rng(0).uniform(0.1, 0.3, (2, 12)))
    swept = replace(swept, name=hostile, command=["mmoe-repro", hostile], environment={hostile: hostile})
    claims = yaml.safe_load((folder() / "claims/paper.yaml").read_text())
    claims |= {name: {**claim, "says": hostile} for name, claim in claims.items() if isinstance(claim, dict)}
    findings = find(swept, claims)
    rendered = page.render(findings, pictures_of(findings), {hostile: {"C1": hostile}})
    assert "alert(1)" in rendered and rendered.count("<script") == 1, "its own"
    for text in (losses_markdown(findings.losses), verdicts_markdown(findings.verdicts, swept.command)):
        outside_code = re.sub(r"(`+) .*? \1", "", text)
        assert "alert(1)" in text and "<script" not in outside_code and "](java" not in outside_code
        rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("| ")]
        assert len({row.count("|") for row in rows}) == 1
