"""A report of a folder, wherever it is from: no code of it is run."""

import shutil
import subprocess
import sys
import webbrowser

import pandas as pd
import pytest
import yaml
from helpers import SMALL

from mmoe_repro.commands import outputs

pytestmark = pytest.mark.xdist_group("report")  # one sweep for all tests, not one for each worker


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where the sweep of all tests is kept once one has made it."""
    return tmp_path_factory.mktemp("kept") / "sweep"


@pytest.fixture
def swept(run, tmp_path, kept):
    results = tmp_path / "results/sweep"
    if not kept.exists():
        assert run("sweep", "model=mmoe,omoe", "data.correlation=0.5,1", *SMALL).status == 0
        shutil.copytree(results, kept)
    return shutil.copytree(kept, results, dirs_exist_ok=True)


def recorded(results, change):
    (results / "manifest.json").unlink(missing_ok=True)
    path = results / "config.yaml"
    record = yaml.safe_load(path.read_text())
    for cell in record["cells"]:
        change(cell)
    path.write_text(yaml.safe_dump(record))


def test_nothing_that_a_folder_names_is_made(process, swept):
    """Neither its laws nor its models; PyTorch is not even loaded."""

    def hostile(cell):
        for group in ("model", "data"):
            cell["settings"][group]["_target_"] = "builtins.exec"
            cell["settings"][group]["_args_"] = ["open('ran', 'w').close()"]

    recorded(swept, hostile)
    code = "import sys; sys.argv = ['mmoe-repro', 'report', 'results/sweep']; from mmoe_repro import cli; "
    code += "status = cli.main(); assert 'torch' not in sys.modules; sys.exit(status)"
    outcome = process("-c", code, command=(sys.executable,))
    assert outcome.status == 0, outcome.err
    assert not (swept.parents[1] / "ran").exists()
    verdicts = pd.read_csv(swept / "verdicts.csv").set_index("id")["verdict"]
    assert verdicts["F2"] == "reproduced", "by the labels' correlation that the sweep recorded"


def test_an_earlier_versions_record_is_completed_from_its_loss_table(run, swept):
    recorded(swept, lambda cell: cell.pop("label_pearson"))
    assert run("report", str(swept)).status == 0
    assert pd.read_csv(swept / "verdicts.csv").set_index("id").at["F2", "verdict"] == "reproduced"
    (swept / "losses.csv").unlink()
    assert run("report", str(swept)).status == 0
    assert pd.read_csv(swept / "verdicts.csv").set_index("id").at["F2", "verdict"] == "untested"


def test_the_page_is_shown_in_a_browser_if_asked(run, swept, monkeypatch):
    shown = []
    monkeypatch.setattr(webbrowser, "open", lambda address: shown.append(address) or True)
    assert run("report", str(swept)).err == "" and not shown
    assert run("report", "--open", str(swept)).err == ""
    assert shown == [(swept / "report.html").as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    assert run("report", str(swept), "--open").err == "mmoe-repro: there is no browser here to show it in\n"


def test_tables_as_latex_have_the_numbers_of_the_csv_files(run, swept):
    assert run("report", str(swept), "formats=[latex]").status == 0
    rows = [line.split(" & ") for line in (swept / "losses.tex").read_text().splitlines() if "moe & " in line]
    losses = pd.read_csv(swept / "losses.csv").query("task == 1 and loss == 'final'")
    assert [row[:2] for row in rows] == [[row.model, f"{row.correlation:.1f}"] for row in losses.itertuples()]
    assert [row[3] for row in rows] == [f"{mean:.4f}" for mean in losses["mean"]]
    assert "F2 & reproduced & " in (swept / "verdicts.tex").read_text()
    assert "_" not in (swept / "losses.tex").read_text().replace(r"\_", ""), "which LaTeX takes for an index"


def test_mean_curves_for_tensorboard(run, swept):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):  # the second time in place of the first
        assert run("report", str(swept), "formats=[tensorboard]").err == ""
    curves = pd.read_parquet(swept / "curves.parquet")
    assert {path.name for path in (swept / "tensorboard").iterdir()} == set(curves["cell"])
    for (cell, task), of_task in curves.groupby(["cell", "task"]):
        written = EventAccumulator(str(swept / "tensorboard" / cell)).Reload().Scalars(f"mean loss of task {task}")
        means = of_task.groupby("step")["loss"].mean()
        assert [event.step for event in written] == list(means.index)
        assert [event.value for event in written] == pytest.approx(list(means), rel=1e-6)


def test_what_cannot_be_written_is_refused_in_one_line(run, swept, monkeypatch):
    assert "formats=[latx]: did you mean 'latex'?" in run("report", str(swept), "formats=[latx]").err
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    outcome = run("report", str(swept), "formats=[tensorboard]")
    assert outcome.status == 2 and outcome.err.count("\n") == 1 and "pip install tensorboard" in outcome.err


#: Another command that has begun to write its files, goes on when its input ends, and dies.
WRITING = """
import os, sys
from filelock import FileLock

lock = FileLock(sys.argv[1] + "/.lock")
lock.acquire()
print("writing", flush=True)
sys.stdin.read()
with open(sys.argv[1] + "/report.html", "w") as page:
    page.write("the other's")
os._exit(9)
"""


@pytest.mark.parametrize(
    "command", [("report", "results/sweep"), ("sweep", "model=mmoe,omoe", "data.correlation=0.5,1", *SMALL)]
)
def test_of_commands_that_write_to_one_folder_the_last_leaves_all_files(run, swept, command, monkeypatch):
    other = subprocess.Popen([sys.executable, "-c", WRITING, swept], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"writing\n"
    alone = outputs.alone
    monkeypatch.setattr(outputs, "alone", lambda folder, wait: alone(folder, lambda: (wait(), other.stdin.close())))
    outcome = run(*command)
    other.stdin.close()
    assert (outcome.status, other.wait()) == (0, 9)
    assert "mmoe-repro: waiting for another command, which writes to results/sweep\n" in outcome.err
    assert (swept / "report.html").read_text() != "the other's"
